"""The sources of a whole configuration, against a real token endpoint on 127.0.0.1."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from proxy.config.models import Config, Timeouts
from proxy.config.secret import Secret
from proxy.errors import ConfigError, NoToken
from proxy.tokens.build import build_sources, find_credential, name_user


class TokenEndpoint:
    """A token endpoint that gives each client a token of its own, and answers when it is let.

    Attributes:
        calls: The client ids, in the order of their calls.
        open: Set when calls are to be answered.
        open_to_slow: The same for the client called ``slow``.
    """

    def __init__(self):
        """Be closed."""
        self.calls = []
        self.open = asyncio.Event()
        self.open_to_slow = asyncio.Event()
        self.url = ""

    async def handle(self, request):
        """Answer one token request."""
        form = await request.post()
        self.calls.append(form["client_id"])
        await (self.open_to_slow if form["client_id"] == "slow" else self.open).wait()
        return web.json_response({"access_token": f"token-of-{form['client_id']}", "expires_in": 3599})


@pytest.fixture
async def endpoint():
    """Return a token endpoint that runs."""
    endpoint = TokenEndpoint()
    app = web.Application()
    app.router.add_post("/oauth/token", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/oauth/token"
    yield endpoint
    endpoint.open.set()
    endpoint.open_to_slow.set()
    await runner.cleanup()


class Calls:
    """An observer that lets a test wait for the n-th token call."""

    def __init__(self):
        """Begin with none."""
        self._done = asyncio.Semaphore(0)
        self.fetches = []

    def token_fetched(self, fetch):
        """See ``TokenObserver``."""
        self.fetches.append(fetch)
        self._done.release()

    async def wait(self, count):
        """Return when so many more have ended."""
        for _ in range(count):
            await self._done.acquire()


@pytest.fixture
def build_config(endpoint, make_credential):
    """Return a function that builds a configuration with credentials of these names."""

    def build(*names, **timeouts):
        credentials = {name: make_credential(token_url=endpoint.url, client_id=Secret(name, "test")) for name in names}
        lis = make_credential(
            grant="basic",
            token_url=None,
            client_id=None,
            client_secret=None,
            username=Secret("u", "test"),
            password=Secret("p", "test"),
        )
        return Config(listener=(), credential=credentials | {"lis": lis}, route=(), timeouts=Timeouts(**timeouts))

    return build


async def test_sources_start_together(build_config, endpoint):
    """Every credential's first call is made at once, none waits for another, and start waits for none."""
    calls = Calls()
    sources = build_sources(build_config("north", "south"), calls)
    await sources.start()
    assert sources.by_name["north"].current() is None

    endpoint.open.set()
    await calls.wait(2)

    assert sorted(endpoint.calls) == ["north", "south"]
    assert sources.by_name["north"].current().authorization == "Bearer token-of-north"
    assert sources.by_name["south"].current().authorization == "Bearer token-of-south"
    await sources.stop()


async def test_another_secret_concerns_its_own_credential_alone(build_config, endpoint):
    """The token in hand is still there, under its new key; the other credential is not touched."""
    calls = Calls()
    config = build_config("north", "south")
    sources = build_sources(config, calls)
    endpoint.open.set()
    await sources.start()
    await calls.wait(2)
    tokens = {name: sources.by_name[name].current() for name in ("north", "south")}

    secret = Secret("another", "test")
    sources.renew("north", config.credential["north"].model_copy(update={"client_secret": secret}))

    assert {name: sources.by_name[name].current() for name in tokens} == tokens
    assert len(endpoint.calls) == 2
    await sources.stop()


async def test_one_slow_credential_holds_up_no_other(build_config, endpoint):
    """A token call that hangs keeps its own credential waiting and no other."""
    calls = Calls()
    sources = build_sources(build_config("slow", "north"), calls)
    endpoint.open.set()
    await sources.start()

    await calls.wait(1)

    assert sources.by_name["north"].current() is not None
    assert sources.by_name["slow"].current() is None
    await sources.stop()


async def test_wait_is_bounded_by_the_configuration(build_config):
    """A request waits for a token as long as timeouts.token_wait says."""
    sources = build_sources(build_config("north", token_wait=0.05), Calls())
    await sources.start()

    with pytest.raises(NoToken):
        await sources.by_name["north"].wait()
    await sources.stop()


async def test_call_is_bounded_by_the_configuration(build_config):
    """A token call lasts as long as timeouts.token says."""
    calls = Calls()
    sources = build_sources(build_config("north", token=0.05), calls)
    await sources.start()

    await calls.wait(1)

    assert calls.fetches[0].outcome == "timeout"
    await sources.stop()


def is_any_usable(sources):
    """Return whether a credential would serve a request at once, as /ready asks."""
    return any(status.usable for status in sources.statuses())


async def test_any_usable(build_config, endpoint):
    """One usable credential is enough, and a Basic one always is."""
    sources = build_sources(build_config("north"), Calls())

    assert is_any_usable(sources)
    assert [(status.name, status.usable) for status in sources.statuses()] == [("north", False), ("lis", True)]
    assert not endpoint.calls
    await sources.stop()


async def test_none_usable(build_config, endpoint):
    """Without any usable credential the sources say so, until a token comes."""
    calls = Calls()
    config = build_config("north")
    config = config.model_copy(update={"credential": {"north": config.credential["north"]}})
    sources = build_sources(config, calls)
    await sources.start()
    assert not is_any_usable(sources)

    endpoint.open.set()
    await calls.wait(1)

    assert is_any_usable(sources)
    await sources.stop()


@pytest.mark.parametrize("source", ["core.north", name_user("core.north", "alice"), name_user("core.north", "a/b")])
def test_a_source_is_one_of_its_credential(source):
    """Also where a client names the user."""
    assert find_credential(source) == "core.north"


async def test_basic_without_password(build_config):
    """A Basic credential without its password is a mistake that names the credential."""
    config = build_config()
    lis = config.credential["lis"].model_copy(update={"password": None})

    with pytest.raises(ConfigError, match=r"credential\.lis"):
        build_sources(config.model_copy(update={"credential": {"lis": lis}}), Calls())


@pytest.fixture
async def running(build_config, endpoint):
    """Return sources of two clients that have their tokens, what observes them, and their configuration."""
    calls, config = Calls(), build_config("north", "south")
    sources = build_sources(config, calls)
    endpoint.open.set()
    await sources.start()
    await calls.wait(2)
    yield sources, calls, config
    await sources.stop()


def change(config, name, **keys):
    """Return a configuration whose credential of this name has other keys."""
    other = config.credential[name].model_copy(update=keys)
    return config.model_copy(update={"credential": {**config.credential, name: other}})


async def test_a_source_with_the_same_key_stays(running, endpoint):
    """With its token; networks and users are no part of what RapidSOS is asked."""
    sources, _, config = running
    before = dict(sources.by_name)
    prepared = sources.prepare(change(config, "north", allow_plain_http=True), None)
    former = sources.use(prepared)

    assert [name for name, source in sources.by_name.items() if source is not before[name]] == ["lis"]
    assert former == (before["lis"],)
    assert len(endpoint.calls) == 2


async def test_another_login_takes_another_source(running):
    """The one before serves until it is used, and its token is not taken for the new one's."""
    sources, calls, config = running
    before = sources.by_name["north"]
    prepared = sources.prepare(change(config, "north", client_id=Secret("northwest", "test")), None)
    meanwhile = sources.by_name["north"]
    for newcomer in prepared.newcomers:
        await newcomer.start()
    await calls.wait(1)
    former = sources.use(prepared)

    assert meanwhile is before
    assert before in former
    assert sources.by_name["north"].current().authorization == "Bearer token-of-northwest"
    assert before.current().authorization == "Bearer token-of-north"
    for one in former:
        await one.stop()


async def test_time_limits_are_those_of_the_configuration_in_use(running, endpoint):
    """Also for the sources that stay."""
    sources, _, config = running
    endpoint.open.clear()
    timeouts = Timeouts(token_wait=0.05)
    sources.use(sources.prepare(config.model_copy(update={"timeouts": timeouts}), None))
    north = sources.by_name["north"]

    async with asyncio.timeout(2):  # by default it would wait for five
        assert await north.replace(north.current()) is None
