"""Defects of other proxies and libraries that concern tokens, each with the test that we do not share it.

What was seen, and in whose software:

01  refresh bound to a request's life (x/oauth2, go-sdk, Grafana)   here
02  expired token injected during outage (Envoy)                    here; test_token_outages.py
03  empty or garbled token answer never retried (Envoy)             here
04  token failure becomes empty 200 (Dapr)                          here; relay/test_peer_defects.py
05  token failure forwards unauthenticated (cloud-run-proxy)        relay/test_peer_defects.py
06  missing expires_in (Dapr, Authlib, Couper)                      here; test_expires_in_missing
07  expires_in as string (email-oauth2-proxy)                       here; test_expires_in
08  body consumed, retry sends nothing (token-refresher, sigv4)     relay/test_peer_defects.py
09  thundering herd after expiry (httpx_auth, Dapr)                 here; test_many_at_the_refresh_cause_one_token_call
10  waiters time out sooner than a slow token endpoint (Tyk)        here
11  cache key too small (Dapr, Grafana, WSO2, Duende)               here; test_key_depends_on_every_parameter
12  wake from sleep with a dead token (cloud-sql-proxy)             here
13  one transient error blacklists for ever (px)                    here
14  revoked token until natural expiry (Vault, WSO2)                here; relay/test_peer_defects.py
15  still-valid token discarded (Agent Vault)                       here
16  captured traffic fills memory (mitmproxy)                       test_a_full_queue_drops_the_newest_and_counts,
                                                                    test_large_body_arrives_whole_in_little_memory
17  log write blocks the event loop (px)                            test_a_slow_disk_costs_records_and_no_time
18  descriptors exhausted (px, token-refresher)                     test_check_and_serve_tell_of_too_few_descriptors,
                                                                    test_beyond_connections_a_client_is_told_and_closed
19  secrets in dump or export, world-readable (sigv4, Skyvern)      here; test_no_secret_leaves_the_program,
                                                                    test_only_the_owner_may_read_the_file
20  health probe hits the proxied path (sigv4)                      test_live_while_draining_without_a_token
21  cannot start while token server is down (Vault)                 here; relay/test_peer_defects.py
22  background refresher gives up after N tries (sidecars)          here
23  client's mistake destroys stored tokens (email-oauth2-proxy)    here
24  settings overwrite one another (token-refresher)                here
25  Basic and body credentials both sent (lakeflow)                 here; relay/test_peer_defects.py
26  refresh storm after replacement (Vault)                         here
27  1-3 s clock drift at expiry (WSO2)                              here
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config.secret import Secret
from proxy.errors import FetchError, NoToken
from proxy.tokens.answers import TokenAnswer, parse_token_answer
from proxy.tokens.bearer import BearerSource
from proxy.tokens.grants import build_token_request
from proxy.tokens.token import UNREADABLE, build_token_key

OTHER_SETTINGS = {
    "grant": "password",
    "token_url": "https://edx.example/oauth/token",
    "client_id": Secret("other-id", "test"),
    "client_secret": Secret("other-secret", "test"),
    "username": Secret("other-dispatcher", "test"),
    "password": Secret("other pass phrase", "test"),
    "request": "json",
    "client_auth": "basic",
    "scope": "alerts",
    "extra": {"audience": "edx"},
}


def test_the_table_is_whole_and_names_what_exists():
    """Each of the 27 defects stands in it once, with a test of its name, or tests that are there."""
    tests = Path(__file__).parents[2]
    source = "\n".join(path.read_text() for path in sorted(tests.rglob("test_*.py")))
    rows = re.findall(r"^(\d\d) (.*(?:\n {10,}.*)*)", __doc__, re.MULTILINE)

    assert [number for number, _ in rows] == [f"{number:02}" for number in range(1, 28)]
    for number, row in rows:
        named = re.findall(r"\btest_\w+\b(?!\.py)", row)
        assert named or "here" in row or "relay/" in row
        assert all(f"def {name}(" in source for name in named)
        if "here" in row or "relay/" in row:
            assert f"def test_peer_defect_{number}_" in source


async def test_peer_defect_01_refresh_bound_to_a_requests_life(source, server, timeline, begin):
    """X/oauth2, Grafana: "refresh bound to a request's life; fails at second refresh": that is gone."""
    server.hold()
    await source.start()
    request = begin(source.wait())
    await timeline.settle()
    request.cancel()
    server.let_go()

    await timeline.advance(3 * 1800.0 + 1.0)

    assert server.calls == 4
    assert source.current().authorization == "Bearer token-4"


async def test_peer_defect_02_expired_token_injected_during_outage(source, server, timeline):
    """Envoy: "expired token injected during outage": once expired, a token is not sent any more, outage or not."""
    await source.start()
    await timeline.settle()
    server.go_down()

    await timeline.advance(3600.0)

    assert source.current() is None


async def test_peer_defect_03_garbled_token_answer_never_retried(source, server, timeline):
    """Envoy: "empty or garbled token answer never retried": it is asked for again within a second."""
    server.error = FetchError(UNREADABLE, "the authorization server's answer (200) is no JSON object", status=200)
    await source.start()
    await timeline.settle()

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"<html>", b'{"access_token":null}', b"{}"])
def test_peer_defect_03_garbled_token_answer_is_a_failure(garbage):
    """Envoy: "empty or garbled token answer": a 200 without a token is a failure of the moment, and no refusal."""
    with pytest.raises(FetchError) as caught:
        parse_token_answer(TokenAnswer(200, garbage), 0.0)

    assert (caught.value.kind, caught.value.refused) == (UNREADABLE, False)


async def test_peer_defect_04_token_failure_becomes_empty_200(source, server, timeline, begin):
    """Dapr: "token failure becomes empty 200": whoever waits gets an error, and no empty Authorization."""
    server.go_down()
    await source.start()
    request = begin(source.wait())

    await timeline.advance(5.0)

    assert source.current() is None
    assert isinstance(request.exception(), NoToken)


async def test_peer_defect_06_missing_expires_in(source, server, timeline):
    """Dapr, Couper: "missing expires_in: cached for ever / never cached": kept for five minutes."""
    server.life_s = parse_token_answer(TokenAnswer(200, b'{"access_token":"abc"}'), 0.0).life_s
    await source.start()
    await timeline.advance(100.0)
    assert source.current().authorization == "Bearer token-1"

    await timeline.advance(199.0)

    assert source.current().authorization == "Bearer token-2"
    assert source.current().life_s == 300.0


async def test_peer_defect_07_expires_in_as_string(source, server, timeline):
    """Email-oauth2-proxy: "expires_in as string": it is read, and the token is replaced at half of that life."""
    server.life_s = parse_token_answer(TokenAnswer(200, b'{"access_token":"abc","expires_in":"3599"}'), 0.0).life_s
    await source.start()
    await timeline.settle()
    assert source.current().life_s == 3599.0

    await timeline.advance(1900.0)

    assert source.current().authorization == "Bearer token-2"


async def test_peer_defect_09_thundering_herd_after_expiry(source, server, timeline, begin):
    """Httpx_auth, Dapr: "thundering herd after expiry": a hundred requests make one call, and not one after another."""
    await source.start()
    await timeline.settle()
    server.go_down()
    await timeline.advance(3600.0)
    server.recover()
    calls = server.calls

    requests = [begin(source.wait()) for _ in range(100)]
    await timeline.advance(1.0)

    assert {request.result().authorization for request in requests} == {"Bearer token-2"}
    assert server.calls == calls + 1


async def test_peer_defect_10_waiters_time_out_sooner_than_a_slow_token_endpoint(source, server, timeline, begin):
    """Tyk: "waiters time out sooner than a slow token endpoint": four seconds fail nobody, however many wait."""
    server.delay_s = 4.0
    await source.start()
    requests = [begin(source.wait()) for _ in range(10)]

    await timeline.advance(4.0)

    assert all(request.result() for request in requests)


@pytest.mark.parametrize("name", sorted(OTHER_SETTINGS))
async def test_peer_defect_11_token_of_other_settings_served(make_credential, shared, server, timeline, name):
    """Dapr, Duende: "cache key too small; token of other settings served": who differs in one setting shares none."""
    ordinary = {"username": Secret("u", "test"), "password": Secret("p", "test")}
    credentials = [make_credential(**ordinary), make_credential(**(ordinary | {name: OTHER_SETTINGS[name]}))]
    sources = [BearerSource("core", one, build_token_key(one, b"key"), shared) for one in credentials]
    for source in sources:
        await source.start()
        await timeline.settle()

    tokens = [source.current().authorization for source in sources]
    for source in sources:
        await source.stop()
    assert tokens == ["Bearer token-1", "Bearer token-2"]
    assert server.calls == 2


async def test_peer_defect_12_wake_from_sleep_with_a_dead_token(source, timeline):
    """Cloud-sql-proxy: "wake from sleep with a dead token": nobody is sent it."""
    await source.start()
    await timeline.settle()

    timeline.suspend(3600.0)

    assert source.current() is None


async def test_peer_defect_13_one_transient_error_blacklists_for_ever(source, server, timeline):
    """Px: "one transient error blacklists for ever": the next call comes within a second."""
    server.go_down()
    await source.start()
    await timeline.settle()

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None
    assert server.calls == 2


async def test_peer_defect_14_revoked_token_until_natural_expiry(source, server, timeline, begin):
    """Vault, WSO2: "revoked token: hang, 500 or 403 until natural expiry": it is replaced at once."""
    await source.start()
    await timeline.advance(10.0)

    request = begin(source.replace(source.current()))
    await timeline.settle()

    assert request.result().authorization == source.current().authorization == "Bearer token-2"
    assert server.calls == 2


async def test_peer_defect_15_still_valid_token_discarded_because_refresh_failed(source, server, timeline):
    """Agent Vault: "still-valid token discarded because refresh failed": it goes on serving."""
    await source.start()
    await timeline.settle()
    server.go_down()

    await timeline.advance(1900.0)

    assert server.calls > 2
    assert source.current().authorization == "Bearer token-1"


async def test_peer_defect_19_secrets_in_debug_dump(source, shared, credential, timeline):
    """Sigv4-proxy: "secrets in debug dump or export": no repr on the way shows token or secret."""
    await source.start()
    await timeline.settle()

    dump = repr([source, shared.cache, source.current(), source.status(), credential, build_token_request(credential)])
    assert "token-1" not in dump
    assert "a-secret" not in dump


async def test_peer_defect_21_cannot_start_while_token_server_is_down(source, server, timeline):
    """Vault: "cannot start while token server or discovery is down": it starts, and has one a second after."""
    server.go_down()
    await source.start()
    await timeline.advance(60.0)

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


async def test_peer_defect_22_refresher_gives_up_after_n_tries(source, server, timeline):
    """Sidecars: "background refresher gives up after N tries": after thousands, the next second brings a token."""
    server.go_down()
    await source.start()
    await timeline.advance(10_000.0)
    assert server.calls >= 10_000

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


async def test_peer_defect_23_clients_mistake_destroys_stored_tokens(source, server, timeline, begin):
    """Email-oauth2-proxy: "client's mistake destroys stored tokens": who earns 401s leaves others the token."""
    await source.start()
    await timeline.advance(1.0)

    for _ in range(300):
        begin(source.replace(source.current()))
        await timeline.advance(0.1)
        assert source.current() is not None

    assert server.calls <= 4


def test_peer_defect_24_settings_overwrite_one_another(make_credential):
    """Token-refresher: "scope/audience/password settings overwrite one another": all stand side by side."""
    credential = make_credential(
        grant="password",
        username=Secret("u", "test"),
        password=Secret("p", "test"),
        scope="s",
        extra={"audience": "a", "grant_type": "x", "scope": "x", "password": "x"},
    )

    assert build_token_request(credential).body == (
        b"grant_type=password&client_id=an-id&client_secret=a-secret&username=u&password=p&scope=s&audience=a"
    )


@pytest.mark.parametrize("client_auth", ["body", "basic"])
def test_peer_defect_25_both_basic_and_body_credentials_sent(make_credential, client_auth):
    """Lakeflow: "both Basic header and body credentials sent, strict server rejects": it is in one place."""
    request = build_token_request(make_credential(client_auth=client_auth))

    in_header = any(name.lower() == "authorization" for name in request.headers)
    assert in_header == (client_auth == "basic")
    assert (b"a-secret" in request.body) == (client_auth == "body")


async def test_peer_defect_26_refresh_storm_after_replacement(source, server, timeline, begin):
    """Vault: "refresh storm after replacement: old watchers not cancelled": one refresh is left."""
    await source.start()
    for _ in range(50):
        await timeline.advance(1.0)
        request = begin(source.replace(source.current()))
        await timeline.settle()
        source.prove(request.result())
    calls = server.calls

    await timeline.advance(1800.0)

    assert server.calls == calls + 1


async def test_peer_defect_27_drift_of_seconds_at_expiry(source, timeline):
    """WSO2: "1-3 s clock drift at expiry causes sporadic 401": five seconds before it, the end."""
    await source.start()
    await timeline.settle()
    token = source.current()
    timeline.suspend(3595.0)

    assert token.expires_at - timeline.now() == pytest.approx(5.0)
    assert source.current() is None
