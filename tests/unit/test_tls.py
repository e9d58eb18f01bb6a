"""TLS towards the outside."""

import ssl

import pytest

from proxy.errors import ConfigError
from proxy.tls import build_tls_context, explain_handshake


def test_everything_is_verified():
    """Certificate and name, with TLS 1.2 as the least."""
    context = build_tls_context(None)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_without_a_certificate_is_refused(tmp_path):
    """The message names the key and the fix."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing of the kind")

    with pytest.raises(ConfigError, match=r"(?s)outbound\.ca_file: .* holds no certificate .*BEGIN CERTIFICATE"):
        build_tls_context(str(path))


def test_a_ca_file_that_is_not_there_is_refused(tmp_path):
    """In the system's words."""
    with pytest.raises(ConfigError, match="cannot be read"):
        build_tls_context(str(tmp_path / "absent.pem"))


def fail_handshake(answer, *, end=False):
    """Return what a handshake ends with when the other side says ``answer``, and then perhaps nothing more."""
    incoming = ssl.MemoryBIO()
    connection = build_tls_context(None).wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="api.example")
    incoming.write(answer)
    if end:
        incoming.write_eof()
    with pytest.raises(ssl.SSLError) as ended:
        connection.do_handshake()
    return ended.value


@pytest.mark.parametrize(
    ("answer", "explanation"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered something that is not TLS; check the port"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "answered something that is not TLS; check the port"),
        (bytes(100), "answered something that is not TLS; check the port"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "offers no TLS 1.2 or later (TLSV1_ALERT_PROTOCOL_VERSION); update"),
        (
            b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02" + bytes(32) + b"\x00\x00\x2f\x00",
            "offers no TLS 1.2 or later (UNSUPPORTED_PROTOCOL); update",
        ),
    ],
    ids=["http", "ssh", "zeros", "alert", "TLS 1.1 chosen"],
)
def test_a_failed_handshake_is_explained(answer, explanation):
    """By what the other side said; each with the next step."""
    assert explain_handshake("api.example:443", fail_handshake(answer)).startswith(f"api.example:443 {explanation}")


def test_a_handshake_that_fails_otherwise_is_told_in_openssls_word():
    """With the command that shows more."""
    error = fail_handshake(b"\x15\x03\x03\x00\x02\x02\x28")

    assert explain_handshake("api.example:443", error) == (
        "the TLS handshake with api.example:443 failed (SSLV3_ALERT_HANDSHAKE_FAILURE); "
        "`openssl s_client -connect api.example:443` shows more"
    )


@pytest.mark.parametrize("error", [fail_handshake(b"", end=True), ConnectionResetError(), BrokenPipeError()])
def test_a_connection_that_closes_in_the_handshake_is_told_as_such(error):
    """By its end, or by a reset; asyncio's own error for the former has no number."""
    told = explain_handshake("api.example:443", error)

    assert told.startswith("api.example:443 closed the connection during the TLS handshake; a firewall")


@pytest.mark.parametrize(
    ("code", "advice"),
    [(10, "check the clock"), (9, "check the clock"), (62, "check the host"), (20, "outbound.ca_file")],
)
def test_a_certificate_that_is_not_accepted_comes_with_advice(code, advice):
    """By why it was not."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "the reason"
    told = explain_handshake("api.example:443", error)

    assert told.startswith("the certificate of api.example:443 was not accepted: the reason; ")
    assert advice in told
