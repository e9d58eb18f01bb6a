"""Secrets that change while the proxy runs: noticed, hidden from every log, and then used.

The rule of this file: it knows which key has another value, and hands on a whole configuration that has it; what is
done with that is its owner's.  Files are looked at all the time.  A command or a keyring costs too much for that, and
is asked when the authorization server has refused what it gave last, and when an operator wants a new token.  A
variable cannot change.  Logins that are no credential's are built into what was made with them: a new one is hidden at
once, and used after a reload, that of the corporate proxy, or from the next start on, that of the admin listener.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from proxy.config.inventory import find_configured, replace_secrets
from proxy.config.load import warn_of_oddities
from proxy.config.os_keyring import KeyringEntry
from proxy.config.places import Command, File, SourceError
from proxy.config.watch import Complaint, FileWatch, WatchedFile
from proxy.tasks import Tasks
from proxy.threads import in_thread
from proxy.tokens.build import BY_LOGIN, find_credential
from proxy.tokens.clock import SystemClock
from proxy.tokens.policy import CLIENT_REFUSALS, REFUSED_PAUSE_S
from proxy.tokens.token import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config.models import Config, Credential
    from proxy.config.secret import Place, Secret
    from proxy.exchange import Exchange
    from proxy.tokens.clock import Clock, Timer
    from proxy.tokens.token import TokenFetch

OPERATOR_WAIT_S: Final = 12.0
"""A little beyond what a command and a keyring may take; an operator's token call is not held up for longer."""
_USED: Final = {
    "credential": "from the next call on",
    "listener": "when the key that it opens changes",
    "outbound": "after a reload",
}

log = structlog.get_logger(__name__)


class Rotation:
    """Keeps the secrets of a configuration as their sources have them; an Observer of token calls."""

    def __init__(
        self,
        config: Config,
        use: Callable[[Config, frozenset[str]], None],
        *,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is looked at before ``start``.

        Args:
            config: As loaded.
            use: Takes the configuration that has the new secrets, and the names of the credentials that are
                concerned; what it must do first is hide them.
            clock: Instead of the system's.
        """
        self._config = config
        self._hand_on = use
        self._clock = clock or SystemClock()
        self._read_at: dict[str, float] = {}
        self._planned: dict[str, Timer] = {}
        self._complaints: dict[Place, Complaint] = {}
        self._tasks = Tasks()
        self._watch: FileWatch[Place, Secret] | None = None

    @property
    def config(self) -> Config:
        """The configuration, with its secrets as they are used."""
        return self._config

    def use(self, config: Config) -> None:
        """Keep the secrets of another configuration from now on; what has been asked of the one before is dropped."""
        self._stop_looking()
        self._planned.clear()
        self._config = config
        self.start()

    def start(self) -> None:
        """Begin to look at the files; needs a running event loop."""
        files = [
            WatchedFile(place, secret, self._keys_of(place))
            for place, secret in _by_place(find_configured(self._config)).items()
            if isinstance(place, File)
        ]
        self._watch = FileWatch(files, self.take, asyncio.get_running_loop())
        self._watch.start()

    async def stop(self) -> None:
        """Look no more."""
        self._stop_looking()
        await self._tasks.stop()

    def _stop_looking(self) -> None:
        for timer in self._planned.values():
            timer.cancel()
        if self._watch is not None:
            self._watch.stop()

    def exchange_closed(self, exchange: Exchange) -> None:
        """Do nothing: an upstream's answer says nothing about a credential."""

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Ask the sources of a refused credential again: once a minute, at the end of it where it was asked before."""
        name = find_credential(fetch.credential)
        credential = self._config.credential.get(name)  # None: of a configuration to come, or of one that has gone
        if credential is None or name in self._planned or not _is_ours(credential, fetch):
            return
        due_at = self._read_at.get(name, -math.inf) + REFUSED_PAUSE_S
        self._planned[name] = self._clock.call_later(max(0.0, due_at - self._clock.now()), partial(self._begin, name))

    async def read_for_operator(self, source: str, *, limit_s: float = OPERATOR_WAIT_S) -> None:
        """Ask for the secrets of a token source's credential, before a call that an operator wants.

        Args:
            source: By its name.
            limit_s: How long to wait; what comes later is used then.
        """
        await asyncio.wait({self._begin(find_credential(source))}, timeout=limit_s)

    async def read_again(self, credential: str) -> None:
        """Ask the commands and keyrings of a credential for its secrets, and use what has changed."""
        self._read_at[credential] = self._clock.now()
        if credential not in self._config.credential:
            return
        secrets = find_configured(self._config.credential[credential])
        places = [place for place in _by_place(secrets) if isinstance(place, Command | KeyringEntry)]
        asked = (in_thread(partial(self._ask, place), name=f"secret of {credential}") for place in places)
        watch = self._watch
        answers = await asyncio.gather(*asked)
        if self._watch is not watch:  # another configuration is used, and has its own answers
            return
        self.take({place: answer for place, answer in zip(places, answers, strict=True) if answer is not None})

    def take(self, read: Mapping[Place, Secret]) -> None:
        """Use what was read where it differs from what is used."""
        changed = {
            key: read[secret.place]
            for key, secret in find_configured(self._config).items()
            if secret.place is not None and read.get(secret.place, secret) != secret
        }
        if not changed:
            return
        before, self._config = self._config.credential, replace_secrets(self._config, changed)
        credentials = self._config.credential
        self._hand_on(self._config, frozenset(name for name in credentials if credentials[name] is not before[name]))
        for key, secret in changed.items():
            used = _USED.get(key.partition(".")[0].partition("[")[0], "from the next start on")
            log.info("secret.changed", key=key, source=secret.origin, used=used)
        warn_of_oddities(changed)

    def _begin(self, credential: str) -> asyncio.Task[None]:
        """Ask now; a refusal that comes from here on is one of what is asked for."""
        if credential in self._planned:
            self._planned.pop(credential).cancel()
        return self._tasks.start(self.read_again(credential), name=f"secrets of {credential}")

    def _ask(self, place: Place) -> Secret | None:
        """Read a place, in a thread; one that fails is complained of once."""
        complaint = self._complaints.setdefault(place, Complaint(self._keys_of(place)))
        try:
            secret = place.read()
        except SourceError as error:
            complaint.unreadable(error)
            return None
        complaint.readable(secret.origin)
        return secret

    def _keys_of(self, place: Place) -> list[str]:
        return [key for key, secret in find_configured(self._config).items() if secret.place == place]


def _is_ours(credential: Credential, fetch: TokenFetch) -> bool:
    """Return whether a secret of the configuration may have been refused, and not what a person has typed."""
    is_typed = credential.from_client == BY_LOGIN and fetch.code not in CLIENT_REFUSALS
    return fetch.outcome == REFUSED and not is_typed


def _by_place(secrets: Mapping[str, Secret]) -> dict[Place, Secret]:
    return {secret.place: secret for secret in secrets.values() if secret.place is not None}
