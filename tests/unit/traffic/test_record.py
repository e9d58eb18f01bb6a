"""The record of an exchange, as the contract has it."""

import pytest

from proxy.errors import Malformed, NoToken
from proxy.exchange import CLIENT_LEFT, REFUSED, TOKEN_FAILED, Exchange
from proxy.tokens.token import TokenFetch, fingerprint
from proxy.traffic.record import RecordBuilder, Timestamps
from proxy.traffic.redact import Redactions, Redactor

NOTHING = Redactor((), Redactions())


def build(exchange, *, cap=65_536, shows_tokens=True):
    """Build one record."""
    return RecordBuilder(cap=cap, shows_tokens=shows_tokens).build_exchange(exchange, NOTHING)


def test_the_whole_record(make_exchange):
    """Every field of the contract, in its order, from an exchange on a new connection."""
    exchange = make_exchange(
        "/egress/v1/alerts?a=%2F",
        fields=("x-CASE: 1", "X-Twice: a", "X-Twice: b"),
        body=b'{"n": 1}',
        answer_fields=("Content-Type: application/json",),
        answer='{"é": 1}'.encode(),
    )
    exchange.client_cert = "CN=cad 7"

    record = build(exchange)

    assert list(record.items()) == list(
        {
            "ts": "2026-11-24T08:10:00.623Z",
            "seq": 1,
            "worker": 0,
            "event": "exchange.closed",
            "id": "cad-1f",
            "listener": "cad",
            "client": "10.20.0.7",
            "user": None,
            "client_cert": "CN=cad 7",
            "route": "egress",
            "credential": "core",
            "request": {
                "method": "POST",
                "target": "/egress/v1/alerts?a=%2F",
                "version": "HTTP/1.1",
                "headers": [("Host", "cad"), ("x-CASE", "1"), ("X-Twice", "a"), ("X-Twice", "b")],
                "body": '{"n": 1}',
                "body_encoding": "utf-8",
                "body_bytes": 8,
                "body_cut": False,
            },
            "attempts": [
                {
                    "url": "https://api-sandbox.rapidsos.com/egress/v1/alerts?a=%2F",
                    "address": "203.0.113.10:443",
                    "reused": False,
                    "status": 200,
                    "error": None,
                    "token": "0123456789ab",
                    "timing_ms": {
                        "dns": 1.0,
                        "connect": 20.5,
                        "tls": pytest.approx(30.001, abs=0.0011),
                        "send": pytest.approx(25.0, abs=0.0011),
                        "first_byte": 125.0,
                        "body": 250.0,
                    },
                    "authorization": "Bearer live-token-1",
                }
            ],
            "response": {
                "status": 200,
                "headers": [("Server", "nginx"), ("Content-Type", "application/json")],
                "body": '{"é": 1}',
                "body_encoding": "utf-8",
                "body_bytes": 9,
                "body_cut": False,
            },
            "token_expires_in_s": 1800.25,
            "outcome": "ok",
            "error": None,
            "timing_ms": {"queue": 0.5, "token": 0.0, "total": 500.0},
            "bytes_in": 240,
            "bytes_out": 1300,
            "replay_of": None,
        }.items()
    )


def test_sequence_numbers_count_records(make_exchange):
    """A gap in them shows that records are missing."""
    builder = RecordBuilder(cap=0, shows_tokens=True, worker=3)

    records = [builder.build_exchange(make_exchange(), NOTHING) for _ in range(3)]

    assert [(record["worker"], record["seq"]) for record in records] == [(3, 1), (3, 2), (3, 3)]


def test_a_request_that_could_not_be_read_has_a_record():
    """Who sent it, when, and what was answered stand in it."""
    exchange = Exchange("cad-2", 1_795_507_800.0, 5.0, "cad", "10.20.0.7")
    exchange.outcome, exchange.error, exchange.ended = REFUSED, Malformed(), 5.25

    record = build(exchange)

    assert record["request"] is None
    assert record["attempts"] == []
    assert record["response"] is None
    assert (record["outcome"], record["error"]) == ("refused", "malformed")
    assert record["timing_ms"]["total"] == 250.0


def test_a_client_that_left_before_the_answer_has_status_499():
    """499 stands in the record alone; no client has ever seen it."""
    exchange = Exchange("cad-2", 1_795_507_800.0, 5.0, "cad", "10.20.0.7")
    exchange.outcome = CLIENT_LEFT

    assert build(exchange)["response"] == {"status": 499}


def test_a_client_that_left_within_the_answer_keeps_its_status(make_exchange):
    """That status was sent."""
    exchange = make_exchange()
    exchange.outcome = CLIENT_LEFT

    assert build(exchange)["response"]["status"] == 200


def test_no_token_means_no_attempt(make_exchange):
    """Nothing was sent upstream, and the record shows it."""
    exchange = make_exchange(authorization=None)
    exchange.attempts.clear()
    exchange.outcome, exchange.error, exchange.token_wait_s = TOKEN_FAILED, NoToken(), 5.0
    exchange.token_expires_in_s = None

    record = build(exchange)

    assert record["attempts"] == []
    assert record["error"] == "no_token"
    assert record["timing_ms"]["token"] == 5000.0
    assert record["token_expires_in_s"] is None


def test_only_the_last_attempt_shows_what_was_sent(make_exchange):
    """The token of the one before was taken for dead, and its fingerprint tells which it was."""
    exchange = make_exchange(authorization="Bearer second")
    exchange.attempts.append(make_exchange().attempts[0])

    first, second = build(exchange)["attempts"]

    assert "authorization" not in first
    assert second["authorization"] == "Bearer second"


def test_an_answer_before_the_request_is_sent_waited_since_the_head(make_exchange):
    """An early 413 must not show a negative time."""
    exchange = make_exchange()
    exchange.attempts[0].request_done_at = 1000.4

    timing = build(exchange)["attempts"][0]["timing_ms"]

    assert timing["first_byte"] == pytest.approx(150.0, abs=0.0011)
    assert timing["send"] == pytest.approx(300.0, abs=0.0011)


def test_an_attempt_that_reached_nobody_has_no_times(make_exchange):
    """What did not happen is null, and not zero."""
    exchange = make_exchange()
    attempt = exchange.attempts[0]
    attempt.dns_s = attempt.connect_s = attempt.tls_s = None
    attempt.sent_at = attempt.request_done_at = attempt.first_byte_at = None

    assert set(build(exchange)["attempts"][0]["timing_ms"].values()) == {None}


@pytest.mark.parametrize(
    ("shows_tokens", "sent", "shown"),
    [
        (True, "Bearer abc", "Bearer abc"),
        (True, "Basic dTpw", "Basic ***"),
        (False, "Bearer abc", None),
        (False, "Basic dTpw", None),
    ],
)
def test_the_token_sent_stands_in_the_record_when_the_setting_says_so(make_exchange, shows_tokens, sent, shown):
    """Only short-lived tokens ever do; a Basic credential never."""
    record = build(make_exchange(authorization=sent), shows_tokens=shows_tokens)

    assert record["attempts"][0].get("authorization") == shown


@pytest.mark.parametrize(
    ("shows_tokens", "shown"), [(True, "Bearer own"), (False, f"Bearer sha256:{fingerprint('own')}")]
)
def test_the_clients_own_token_is_shown_as_the_setting_says(make_exchange, shows_tokens, shown):
    """It never goes upstream, and is a token all the same."""
    record = build(make_exchange(fields=("Authorization: Bearer own",)), shows_tokens=shows_tokens)

    assert ("Authorization", shown) in record["request"]["headers"]


def test_the_exchange_itself_is_not_touched(make_exchange):
    """Others are told of it after the log."""
    exchange = make_exchange(fields=("Cookie: a=b",))

    build(exchange)

    assert ("Cookie", "a=b") in exchange.request.fields


def test_a_token_call_is_a_record():
    """It tells the outcome, and nothing that was sent or received."""
    fetch = TokenFetch(
        credential="core",
        grant="client_credentials",
        token_url="https://user:pass@api.rapidsos.com/oauth/token?client_secret=x",
        outcome="ok",
        status=200,
        detail="",
        seconds=0.25,
        fingerprint="0123456789ab",
        life_s=3599.0,
        reason="login",
        user="alice",
    )

    record = RecordBuilder(cap=0, shows_tokens=True).build_token_fetch(fetch, 1_795_507_800.5)

    assert record == {
        "ts": "2026-11-24T08:10:00.500Z",
        "seq": 1,
        "worker": 0,
        "event": "token.fetched",
        "credential": "core",
        "user": "alice",
        "grant": "client_credentials",
        "token_url": "https://***@api.rapidsos.com/oauth/token?client_secret=***",
        "reason": "login",
        "outcome": "ok",
        "status": 200,
        "detail": "",
        "token": "0123456789ab",
        "life_s": 3599.0,
        "timing_ms": {"total": 250.0},
    }


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
        (1_767_225_599.9996, "2025-12-31T23:59:59.999Z"),
        (1_767_225_600.0, "2026-01-01T00:00:00.000Z"),
        (1_767_225_600.5, "2026-01-01T00:00:00.500Z"),
    ],
)
def test_timestamps_are_utc_with_milliseconds(at, text):
    """RFC 3339, cut and not rounded, so that none is ahead of its time."""
    timestamps = Timestamps()
    timestamps.build(1.5)

    assert timestamps.build(at) == text


@pytest.mark.parametrize("target", ["/oauth/token", "/egress/oauth/v2/token/", "/oauth/%74oken"])
def test_of_a_call_for_a_token_neither_body_nor_query_is_shown(make_exchange, target):
    """A secret may be in either under any name and in any shape; who answered, and how, is told."""
    exchange = make_exchange(
        f"{target}?anything=secret-1",
        fields=("Client-Secret: secret-2",),
        body=b"--b\r\nX: y\r\n\r\nsecret-3",
        answer=b'{"unusual_name":"secret-4"}',
    )

    record = build(exchange)

    assert "secret-" not in str(record)
    assert record["request"]["target"] == f"{target}?***"
    assert record["attempts"][0]["url"] == f"https://api-sandbox.rapidsos.com{target}?***"
    for part, size in ((record["request"], 21), (record["response"], 27)):
        assert (part["body"], part["body_encoding"], part["body_bytes"], part["body_cut"]) == (None, None, size, True)
        assert part["body_withheld"] == "it is of a call for a token"


def test_what_the_proxy_answers_to_a_call_for_a_token_that_fails_is_shown(make_exchange):
    """It says what was wrong; no body is no body."""
    exchange = make_exchange("/oauth/token", body=b"secret", answer=b"no route")
    exchange.error = Malformed("x")
    refused = build(exchange)
    exchange = make_exchange("/oauth/token", answer=b"ok")

    assert refused["response"]["body"] == "no route"
    assert refused["request"]["body"] is None
    assert build(exchange)["response"]["body"] == "ok"  # by GET, which asks for nothing


@pytest.mark.parametrize(("mask", "user"), [(("x-Dispatcher",), "***"), (("phone_number",), "alice"), ((), "alice")])
def test_a_user_is_masked_with_the_field_that_names_him(make_exchange, mask, user):
    """Whoever masks the one does not want the other."""
    exchange = make_exchange(fields=("X-Dispatcher: alice",))
    exchange.user, exchange.named_by = "alice", "x-dispatcher"
    record = RecordBuilder(cap=0, shows_tokens=True, mask=mask).build_exchange(exchange, NOTHING)

    assert record["user"] == user
    assert ("alice" in str(record)) is (user == "alice")


def test_without_a_user_there_is_none_to_mask(make_exchange):
    """Null stays null."""
    record = RecordBuilder(cap=0, shows_tokens=True, mask=("x-dispatcher",)).build_exchange(make_exchange(), NOTHING)

    assert record["user"] is None
