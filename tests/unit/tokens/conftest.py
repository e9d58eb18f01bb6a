"""An authorization server at the seam of ``Fetch``, and a source in front of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from harness.timeline import Timeline

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.errors import FetchError
from proxy.tasks import Tasks
from proxy.tokens.answers import ParsedToken
from proxy.tokens.bearer import BearerSource, Shared
from proxy.tokens.cache import build_cache
from proxy.tokens.token import NETWORK, REFUSED, build_token_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from proxy.tokens.grants import TokenRequest
    from proxy.tokens.token import TokenFetch


class AuthorizationServer:
    """Answers token calls as told, after ``delay_s`` on the timeline.

    Attributes:
        calls: How many have begun.
        called_at: When.
        most_at_once: The highest number of calls under way together.
        minted: The tokens given out.
        error: Raised instead of an answer; None while the server is well.
        life_s: Of the tokens it gives.
    """

    def __init__(self, timeline: Timeline) -> None:
        """Be well, and quick."""
        self._timeline = timeline
        self._open = asyncio.Event()
        self._open.set()
        self._under_way = 0
        self.delay_s = 0.0
        self.life_s = 3600.0
        self.error: Exception | None = None
        self.calls = 0
        self.called_at: list[float] = []
        self.most_at_once = 0
        self.minted: list[str] = []

    @property
    def gaps(self) -> list[float]:
        """The times between one call's beginning and the next's."""
        return [later - earlier for earlier, later in itertools.pairwise(self.called_at)]

    def go_down(self, *, retry_after_s: float | None = None) -> None:
        """Fail every call from now on."""
        self.error = FetchError(NETWORK, "the authorization server could not be reached", retry_after_s=retry_after_s)

    def refuse(self) -> None:
        """Refuse the credential from now on."""
        self.error = FetchError(REFUSED, "the authorization server refused the credential", status=401, refused=True)

    def recover(self) -> None:
        """Be well again."""
        self.error = None

    def hold(self) -> None:
        """Leave calls unanswered until ``let_go``."""
        self._open.clear()

    def let_go(self) -> None:
        """Answer the calls that were held."""
        self._open.set()

    async def __call__(self, request: TokenRequest) -> ParsedToken:
        """See ``Fetch``."""
        assert request.body
        self.calls += 1
        self.called_at.append(self._timeline.now())
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if self.delay_s:
                await self._timeline.sleep(self.delay_s)
            await self._open.wait()
        finally:
            self._under_way -= 1
        if self.error is not None:
            raise self.error
        self.minted.append(f"token-{len(self.minted) + 1}")
        return ParsedToken(access_token=self.minted[-1], life_s=self.life_s)


class Ledger:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        """Begin empty."""
        self.fetches: list[TokenFetch] = []

    def token_fetched(self, fetch: TokenFetch) -> None:
        """See ``TokenObserver``."""
        self.fetches.append(fetch)


@pytest.fixture
def make_credential() -> Callable[..., Credential]:
    """Return a function that makes a credential, ordinary but for what it is told."""

    def make(**changes: object) -> Credential:
        ordinary = {
            "grant": "client_credentials",
            "token_url": "https://api.example/oauth/token",
            "client_id": Secret("an-id", "test"),
            "client_secret": Secret("a-secret", "test"),
        }
        return Credential(**(ordinary | changes))

    return make


@pytest.fixture
async def begin() -> AsyncIterator[Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]]:
    """Return a function that starts a coroutine as a client's task; those left over are cancelled."""
    tasks = Tasks()
    yield lambda work: tasks.start(work, name="client")
    await tasks.stop()


@pytest.fixture
def timeline() -> Timeline:
    """Return a timeline at rest."""
    return Timeline()


@pytest.fixture
def server(timeline) -> AuthorizationServer:
    """Return an authorization server that is well."""
    return AuthorizationServer(timeline)


@pytest.fixture
def ledger() -> Ledger:
    """Return an empty ledger."""
    return Ledger()


@pytest.fixture
def shared(timeline, server, ledger) -> Shared:
    """Return what the sources of a test have in common; its dice always show the middle."""
    cache = build_cache(timeline.now, 1)
    return Shared(cache=cache, fetch=server, clock=timeline, observer=ledger, wait_s=5.0, dice=lambda: 0.5)


@pytest.fixture
def credential(make_credential) -> Credential:
    """Return the credential of the source; a test module may have its own."""
    return make_credential()


@pytest.fixture
async def source(credential, shared) -> AsyncIterator[BearerSource]:
    """Return a source that has not been started; stopped after the test."""
    source = BearerSource("core", credential, build_token_key(credential, b"key"), shared)
    yield source
    await source.stop()
