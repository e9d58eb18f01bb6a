"""A credential whose secret changes: nobody waits, the old token serves on, the new secret is tried when it matters."""

from __future__ import annotations

import pytest

from proxy.config.secret import Secret
from proxy.errors import FetchError
from proxy.tokens.bearer import BearerSource
from proxy.tokens.token import REFUSED, build_token_key

BEARER_1 = "Bearer token-1"
BEARER_2 = "Bearer token-2"


class Judge:
    """An authorization server that believes one secret, and answers by the other's seam."""

    def __init__(self, server):
        """Believe the first secret."""
        self.server = server
        self.secret = "a-secret"
        self.seen = []

    async def __call__(self, request):
        """See ``Fetch``."""
        self.seen.append("next-secret" if b"next-secret" in request.body else "a-secret")
        parsed = await self.server(request)
        if self.seen[-1] != self.secret:
            raise FetchError(REFUSED, "the authorization server refused the credential", status=401, refused=True)
        return parsed


@pytest.fixture
def judge(server):
    """Return an authorization server that believes the first secret."""
    return Judge(server)


@pytest.fixture
async def source(credential, shared, judge):
    """Return a source that asks it, not started."""
    shared = type(shared)(
        cache=shared.cache, fetch=judge, clock=shared.clock, observer=shared.observer, wait_s=5.0, dice=lambda: 0.5
    )
    source = BearerSource("core", credential, build_token_key(credential, b"key"), shared)
    yield source
    await source.stop()


def renew(source, make_credential, value="next-secret"):
    """Give the source another secret."""
    credential = make_credential(client_secret=Secret(value, "test"))
    source.renew_credential(credential, build_token_key(credential, b"key"))


async def test_the_token_in_hand_serves_on(source, judge, timeline, make_credential):
    """Under the key of the new secret; the new secret is sent at the next refresh, and no sooner."""
    await source.start()
    await timeline.settle()
    renew(source, make_credential)
    await timeline.advance(1799.0)
    assert source.current().authorization == BEARER_1
    assert judge.seen == ["a-secret"]

    judge.secret = "next-secret"
    await timeline.advance(1.0)

    assert source.current().authorization == BEARER_2
    assert judge.seen == ["a-secret", "next-secret"]


async def test_a_refused_secret_is_replaced_at_once(source, judge, timeline, make_credential):
    """With a token still in hand: one call, with the new secret."""
    await source.start()
    await timeline.settle()
    judge.secret = "next-secret"
    await timeline.advance(1800.0)
    assert judge.seen == ["a-secret", "a-secret"]

    renew(source, make_credential)
    await timeline.settle()

    assert judge.seen == ["a-secret", "a-secret", "next-secret"]
    assert source.current().authorization == "Bearer token-3"


async def test_a_refused_secret_without_any_token_is_replaced_at_once(source, judge, timeline, make_credential, begin):
    """Who asks while the call with the new secret is under way waits for it, and is served."""
    judge.secret = "next-secret"
    await source.start()
    await timeline.advance(1.0)

    renew(source, make_credential)
    waiting = begin(source.wait())
    await timeline.settle()

    assert waiting.result().authorization == BEARER_2


async def test_a_wrong_new_secret_leaves_the_old_token_to_its_end(source, judge, timeline, make_credential):
    """It is refused at the refresh, and tried once a minute; every request until the expiry has the old token."""
    await source.start()
    await timeline.settle()
    renew(source, make_credential)
    await timeline.advance(3594.0)

    assert source.current().authorization == BEARER_1
    assert judge.seen[1:] == ["next-secret"] * 30
    assert source.status().last_error == "the authorization server refused the credential"


async def test_a_call_under_way_with_the_old_secret(source, judge, server, timeline, make_credential, begin):
    """Its refusal comes after the change: who waits goes on to wait, and the new secret is sent."""
    judge.secret = "next-secret"
    server.hold()
    await source.start()
    waiting = begin(source.wait())
    await timeline.settle()

    renew(source, make_credential)
    server.let_go()
    await timeline.advance(0.25)

    assert judge.seen == ["a-secret", "next-secret"]
    assert waiting.result().authorization == BEARER_2


async def test_a_token_that_the_old_secret_still_brought_is_kept(source, server, timeline, make_credential):
    """A call under way that ends well is as good as any."""
    server.hold()
    await source.start()
    await timeline.settle()

    renew(source, make_credential)
    server.let_go()
    await timeline.settle()

    assert source.current().authorization == BEARER_1


async def test_a_newer_token_of_the_same_secret_is_not_overwritten(shared, timeline, make_credential):
    """Two credentials with the same secret share a token; the one that changes last finds what the first has got."""
    ready = make_credential(client_secret=Secret("next-secret", "test"))
    first = BearerSource("first", ready, build_token_key(ready, b"key"), shared)
    old = make_credential()
    last = BearerSource("last", old, build_token_key(old, b"key"), shared)
    await last.start()
    await timeline.settle()
    await first.start()
    await timeline.settle()

    renew(last, make_credential)

    assert last.current() is first.current()
    assert last.current().authorization == BEARER_2
    await first.stop()
    await last.stop()


async def test_a_secret_that_comes_back_costs_no_token(source, judge, timeline, make_credential):
    """What was got with it before dies sooner than the token in hand, which serves on."""
    await source.start()
    await timeline.settle()
    renew(source, make_credential)
    judge.secret = "next-secret"
    await timeline.advance(1800.0)
    assert source.current().authorization == BEARER_2

    renew(source, make_credential, "a-secret")

    assert source.current().authorization == BEARER_2
