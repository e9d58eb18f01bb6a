"""Handshakes that failed: all counted, told of in measure."""

import ssl

import pytest
from structlog.testing import capture_logs

from proxy.relay.handshakes import LEFT, MOST_TOLD, QUIET_S, TOO_SLOW, Handshakes, explain_failure


@pytest.fixture
def handshakes(clock):
    """Return those of one listener."""
    return Handshakes("cad", clock)


def test_a_client_is_told_of_once_a_minute(handshakes, clock):
    """For each reason; what was left out is in the next line."""
    with capture_logs() as logs:
        for _ in range(5):
            handshakes.fail("10.0.0.1", LEFT)
        handshakes.fail("10.0.0.1", TOO_SLOW)
        clock.advance(QUIET_S)
        handshakes.fail("10.0.0.1", LEFT)

    assert [(line["reason"], line["untold_before"]) for line in logs] == [("left", 0), ("timeout", 4), ("left", 0)]
    assert {(line["listener"], line["client"], line["fix"]) for line in logs[::2]} == {("cad", "10.0.0.1", LEFT.fix)}
    assert handshakes.failures == {"left": 6, "timeout": 1}


def test_many_clients_fill_no_log(handshakes, clock):
    """However many addresses a scanner has; afterwards the next one is told of again."""
    with capture_logs() as logs:
        for number in range(3 * MOST_TOLD):
            handshakes.fail(f"10.0.{number // 256}.{number % 256}", LEFT)
        clock.advance(QUIET_S)
        handshakes.fail("10.9.9.9", LEFT)

    assert len(logs) == MOST_TOLD + 1
    assert logs[-1]["untold_before"] == 2 * MOST_TOLD
    assert handshakes.failures == {"left": 3 * MOST_TOLD + 1}


@pytest.mark.parametrize(
    ("reason", "told", "fix"),
    [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "no_client_certificate", "tls.client_ca"),
        ("TLSV1_ALERT_UNKNOWN_CA", "certificate_refused", "the authority that signed the listener's"),
        ("NO_SHARED_CIPHER", "nothing_common", "TLS 1.2 is the least"),
        ("UNSUPPORTED_PROTOCOL", "nothing_common", "TLS 1.2 is the least"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "gave_up", "its own log"),
        ("CALLBACK_FAILED", "wrong_name", "between it and the proxy"),
        ("NO_SUITABLE_KEY_SHARE", "nothing_common", "TLS 1.2 is the least"),
        ("WRONG_CURVE", "client_certificate", "P-256"),
        ("BAD_EXTENSION", "other", "openssl s_client"),
    ],
)
def test_openssls_reason_becomes_a_next_step(reason, told, fix):
    """In the words of whoever runs the proxy."""
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason

    failure = explain_failure(error)

    assert failure.reason == told
    assert fix in failure.fix
