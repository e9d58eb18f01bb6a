"""Defects of other proxies and libraries that concern tokens, each with the test that we do not share it."""

from __future__ import annotations

import pytest

from proxy.config.secret import Secret
from proxy.errors import FetchError, NoToken
from proxy.tokens.answers import TokenAnswer, parse_token_answer
from proxy.tokens.grants import build_token_request
from proxy.tokens.token import UNREADABLE, build_token_key


async def test_refresh_outlives_the_request_that_began_it(source, server, timeline, begin):
    """x/oauth2 #388, Grafana #65380: the request that waited first is long gone when the third refresh is due."""
    server.hold()
    await source.start()
    request = begin(source.wait())
    await timeline.settle()
    request.cancel()
    server.let_go()

    await timeline.advance(3 * 1800.0 + 1.0)

    assert server.calls == 4
    assert source.current().authorization == "Bearer token-4"


async def test_expired_token_is_not_sent_during_an_outage(source, server, timeline):
    """Envoy #44674: once expired, a token is not sent any more, outage or not."""
    await source.start()
    await timeline.settle()
    server.go_down()

    await timeline.advance(3600.0)

    assert source.current() is None


async def test_garbled_answer_is_retried(source, server, timeline):
    """Envoy #42009: an empty or garbled 200 is asked for again within a second."""
    server.error = FetchError(UNREADABLE, "the authorization server's answer (200) is no JSON object", status=200)
    await source.start()
    await timeline.settle()

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


async def test_token_failure_never_passes_for_a_token(source, server, timeline, begin):
    """Dapr, cloud-run-proxy: without a token a request gets an error, not an empty or missing Authorization."""
    server.go_down()
    await source.start()
    request = begin(source.wait())

    await timeline.advance(5.0)

    assert source.current() is None
    assert isinstance(request.exception(), NoToken)


@pytest.mark.parametrize("expires_in", ["", ',"expires_in":"3599"'])
async def test_life_missing_or_a_string(source, server, timeline, expires_in):
    """Dapr, Authlib, Couper, email-oauth2-proxy #237: such a token is kept, and replaced before it dies."""
    answer = TokenAnswer(200, b'{"access_token":"abc"%b}' % expires_in.encode())
    server.life_s = parse_token_answer(answer, 0.0).life_s
    await source.start()
    await timeline.settle()

    await timeline.advance(server.life_s - 1.0)

    assert source.current().authorization == "Bearer token-2"


async def test_no_herd_after_the_expiry(source, server, timeline, begin):
    """httpx_auth, Dapr: a hundred requests that find the token expired make one call, not one after another."""
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


async def test_those_who_wait_outlast_a_slow_server(source, server, timeline, begin):
    """Tyk: a token server that takes four seconds fails nobody, however many wait."""
    server.delay_s = 4.0
    await source.start()
    requests = [begin(source.wait()) for _ in range(10)]

    await timeline.advance(4.0)

    assert all(request.result() for request in requests)


@pytest.mark.parametrize("change", [{"scope": "alerts"}, {"extra": {"audience": "edx"}}])
def test_token_of_other_settings_is_not_served(make_credential, change):
    """Dapr, WSO2 #4289, Grafana #12243: scope and audience are part of what a token is kept under."""
    assert build_token_key(make_credential(**change), b"k") != build_token_key(make_credential(), b"k")


async def test_waking_from_sleep_sends_no_dead_token(source, timeline):
    """cloud-sql-proxy #1788: a machine that wakes after its token's life sends it to nobody."""
    await source.start()
    await timeline.settle()

    timeline.suspend(3600.0)

    assert source.current() is None


async def test_starts_while_the_token_server_is_down(source, server, timeline):
    """Vault #28305, token-refresher: a token server that is down does not keep the proxy from starting."""
    server.go_down()
    await source.start()
    await timeline.advance(60.0)

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


async def test_one_transient_error_is_not_for_ever(source, server, timeline):
    """Px #250, sidecars that give up: after hours of outage the next second brings a token."""
    server.go_down()
    await source.start()
    await timeline.advance(10_000.0)

    server.recover()
    await timeline.advance(1.0)

    assert source.current() is not None


async def test_revoked_token_is_replaced_at_once(source, server, timeline, begin):
    """Vault #31995, WSO2 #767: a revoked token does not stay in use until its natural expiry."""
    await source.start()
    await timeline.advance(10.0)

    request = begin(source.replace(source.current()))
    await timeline.settle()

    assert request.result().authorization == source.current().authorization == "Bearer token-2"
    assert server.calls == 2


async def test_valid_token_survives_a_failed_refresh(source, server, timeline):
    """Agent Vault: a refresh that fails does not take the valid token away."""
    await source.start()
    await timeline.settle()
    server.go_down()

    await timeline.advance(1900.0)

    assert server.calls > 2
    assert source.current().authorization == "Bearer token-1"


async def test_secrets_are_in_no_dump(source, shared, credential, timeline):
    """sigv4-proxy, Interceptor #160: no repr on the way shows token or secret."""
    await source.start()
    await timeline.settle()

    dump = repr([source, shared.cache, source.current(), source.status(), credential, build_token_request(credential)])
    assert "token-1" not in dump
    assert "a-secret" not in dump


async def test_clients_mistake_does_not_destroy_the_token(source, server, timeline, begin):
    """email-oauth2-proxy #42: a client that earns 401s leaves the token to the others, and cannot cause a storm."""
    await source.start()
    await timeline.advance(1.0)

    for _ in range(300):
        begin(source.replace(source.current()))
        await timeline.advance(0.1)
        assert source.current() is not None

    assert server.calls <= 4


def test_settings_do_not_overwrite_one_another(make_credential):
    """token-refresher: scope, audience and the password's fields stand side by side."""
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


async def test_replacement_leaves_no_second_refresher(source, server, timeline, begin):
    """Vault #32060: after fifty replacements there is still one refresh at half the life."""
    await source.start()
    for _ in range(50):
        await timeline.advance(1.0)
        request = begin(source.replace(source.current()))
        await timeline.settle()
        source.prove(request.result())
    calls = server.calls

    await timeline.advance(1800.0)

    assert server.calls == calls + 1


async def test_drift_of_seconds_harms_nothing(source, timeline):
    """WSO2 #4695: in its last five seconds, where clocks may disagree, a token is not sent any more."""
    await source.start()
    await timeline.settle()
    token = source.current()
    timeline.suspend(3595.0)

    assert token.expires_at - timeline.now() == pytest.approx(5.0)
    assert source.current() is None
