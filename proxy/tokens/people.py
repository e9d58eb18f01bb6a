"""The persons of one credential: each proves himself with every request, and has a token of his own.

A client that can send nothing but Basic gets its user's token by the password grant.  Who a person is, is the name and
the password together: one person's token is never another's, and whoever guesses at a neighbour's password locks
nobody out but the guess.

The rule of this file: a person is kept under a keyed hash, and forgotten, password and all, when his token's life has
passed since he last asked, or, if he never had one, when nothing forbids the next call for him.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from proxy.config.secret import Secret
from proxy.tasks import Tasks
from proxy.tokens import policy
from proxy.tokens.cache import build_cache
from proxy.tokens.explain import explain_next_step
from proxy.tokens.logins import Logins
from proxy.tokens.newcomers import Newcomers
from proxy.tokens.person import Login, Person, build_refusal
from proxy.tokens.report import build_subject
from proxy.tokens.store import MemoryStore
from proxy.tokens.token import CredentialStatus, build_token_key
from proxy.tokens.turnstile import Turnstile

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.tokens.bearer import Shared

MOST_PEOPLE: Final = 1000
"""Who have been believed; a centre has fewer."""
MOST_UNPROVED: Final = 512
"""Logins of which nobody knows yet whether they are good; up to twice as many, of clients that have few."""
MOST_UNPROVED_OF_ONE: Final = 128
"""Of one client; a hundred dispatchers behind one address may begin their shift at once."""
CALLS_AT_ONCE: Final = 64
"""For such logins of one client: a hundred get their tokens in two calls' time, and RapidSOS is not stormed."""
CALLS_OF_REFUSED: Final = 8
"""The same, while the client's logins are being refused."""
MOST_REFUSED: Final = 10_000
"""Guesses remembered; what is forgotten is merely asked again."""
LOOK_S: Final = 15.0
"""Between two looks at who has gone."""
FORGIVE_S: Final = 30.0
"""After which, if nobody has asked, nothing is held against the authorization server any more."""
WHERE: Final = "sent as Basic by the client"


class People:
    """All who have asked of late."""

    def __init__(self, name: str, credential: Credential, shared: Shared, hash_key: bytes) -> None:
        """Begin with nobody.

        Args:
            name: Of the credential.
            credential: Without a person's name and password.
            shared: What the sources of the process have in common.
            hash_key: A random secret, so that what persons are kept under tells nothing about their passwords.
        """
        self.name = name
        self._credential = credential
        # Not the others' cache, which must not be crowded; and a person proves himself anew after a restart.
        cache = build_cache(shared.clock.now, MOST_PEOPLE)
        self._shared = replace(shared, cache=cache, store=MemoryStore())
        self._hash_key = hash_key
        self._now = shared.clock.now
        self._people: dict[bytes, Person] = {}
        self._newcomers: Newcomers[Person] = Newcomers(MOST_UNPROVED, MOST_UNPROVED_OF_ONE)
        self._turnstile = Turnstile(CALLS_AT_ONCE, CALLS_OF_REFUSED, policy.REFUSED_PAUSE_S, self._now)
        self._refused: TTLCache[bytes, None] = TTLCache(MOST_REFUSED, policy.REFUSED_PAUSE_S, timer=self._now)
        self._logins = Logins(self._now, self._client_changed)
        self._asked_at = -math.inf
        self._tasks = Tasks()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._people)

    def find(self, username: str, password: str, client: str) -> Person:
        """Return the source of a person's token.

        Args:
            username: As the client sent it.
            password: The same.
            client: Whose share of the unproved he counts against.

        Raises:
            ClientLogin: If this name with this password was refused a short while ago.
            Overloaded, ClientLimit: If too many others wait to be proved.
        """
        pair = self._hash(username, password)
        person = self._people.pop(pair, None)
        if person is None:
            if pair in self._refused:
                raise build_refusal()
            self._make_room(client)
            person = self._build(pair, username, password, client)
        self._people[pair] = person  # the last in the dictionary is the last that asked
        self._asked_at = person.asked_at = self._now()
        return person

    async def start(self) -> None:
        """Begin to look at who has gone."""
        _ = self._tasks.keep(self._forget_the_gone, name=f"people of {self.name}")

    async def stop(self) -> None:
        """Forget all; those who wait get NoToken."""
        people, self._people = self._people, {}
        await self._tasks.stop()
        await asyncio.gather(*(person.stop() for person in people.values()))

    def renew(self, credential: Credential) -> None:
        """Use another client secret for the calls of those who come, and of those who are here."""
        if credential == self._credential:
            return
        self._credential = credential
        for person in self._people.values():
            person.renew_client(credential, self._hash_key)
        self._logins.renew()

    def is_for(self, credential: Credential) -> bool:
        """Return whether the tokens of those who are here are good for ``credential``, the same but for its secret."""
        return _without_secret(credential) == _without_secret(self._credential)

    def share(self, shared: Shared) -> None:
        """See ``Source``."""
        self._shared = replace(shared, cache=self._shared.cache, store=self._shared.store)
        for person in self._people.values():
            person.wait_for(shared.wait_s)

    def status(self) -> CredentialStatus:
        """Return how the credential stands, which has no token of its own.

        It is usable unless the last call failed, for another reason than a person's wrong login, and nobody here has a
        token any more.  While nobody is here, nothing is known against it: whoever comes finds out.
        """
        logins, error = self._logins, self._logins.last_error
        subject = build_subject(self.name, self._credential)
        return CredentialStatus(
            name=subject.name,
            grant=subject.grant,
            token_url=subject.token_url,
            usable=error is None or any(person.has_token for person in self._people.values()),
            fingerprint=None,
            expires_in_s=None,
            next_refresh_in_s=None,
            last_error=error.detail if error else None,
            last_error_ago_s=self._now() - logins.last_error_at if error else None,
            fetches=logins.fetches,
            failures=logins.failures,
            skew_s=logins.skew_s,
            next_step=explain_next_step(error, is_given_up=False),
            people=len(self),
        )

    def _hash(self, username: str, password: str) -> bytes:
        # JSON, because it cannot be read two ways: joined strings could.
        return hmac.digest(self._hash_key, json.dumps([username, password]).encode(), hashlib.sha256)

    def _build(self, pair: bytes, username: str, password: str, client: str) -> Person:
        login = {"username": Secret(username, WHERE), "password": Secret(password, WHERE), "from_client": None}
        credential = self._credential.model_copy(update=login)
        token_key = build_token_key(credential, self._hash_key)
        who = Login(username, pair, client, self._logins, self._turnstile, self._prove, self._refuse)
        person = Person(self.name, credential, token_key, self._shared, who)
        self._newcomers.add(person)
        _ = self._tasks.start(person.start(), name=f"person of {self.name}")
        return person

    def _make_room(self, client: str) -> None:
        weakest = self._newcomers.make_room(client)
        if weakest is not None:
            weakest.give_way()
            _ = self._drop(weakest)

    def _prove(self, person: Person) -> None:
        """Take note that somebody was believed; of those who were, whoever has not asked for longest gives way."""
        self._newcomers.discard(person)
        self._turnstile.widen(person.client)
        if len(self._people) - len(self._newcomers) > MOST_PEOPLE:
            oldest = next((one for one in self._people.values() if one.is_proved and one.is_idle), None)
            if oldest is not None:
                _ = self._drop(oldest)

    def _refuse(self, person: Person) -> None:
        if self._drop(person):
            self._refused[person.pair] = None
            self._turnstile.narrow(person.client)

    def _drop(self, person: Person) -> bool:
        """Forget somebody; return whether he was still here."""
        if self._people.get(person.pair) is not person:
            return False
        del self._people[person.pair]
        self._newcomers.discard(person)
        _ = self._tasks.start(person.stop(), name=f"person of {self.name}")
        return True

    def _client_changed(self) -> None:
        is_refused = self._logins.pause_s() > policy.LONGEST_URGENT_BACKOFF_S
        for person in list(self._people.values()):
            person.client_changed(is_refused=is_refused)

    async def _forget_the_gone(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.forget_the_gone()

    def forget_the_gone(self) -> None:
        """Forget everybody of whom nothing need be kept any more; see ``Person.is_gone``."""
        for person in list(self._people.values()):
            if person.is_gone:
                _ = self._drop(person)
        is_over = self._now() - self._asked_at > FORGIVE_S
        if is_over and not any(person.has_token or person.is_waited_for for person in self._people.values()):
            # Nobody's source calls again, so an outage would never be seen to end, and a balancer that has taken the
            # proxy out of service for it would never send anybody who finds out.
            self._logins.forget_error()


def _without_secret(credential: Credential) -> Credential:
    return credential.model_copy(update={"client_secret": None})  # nosec B105 (none at all)
