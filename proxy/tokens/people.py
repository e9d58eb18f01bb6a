"""The persons of one credential: each proves himself with every request, and has a token of his own.

A client that can send nothing but Basic gets its user's token by the password grant.  Who a person is, is the name and
the password together: one person's token is never another's, and whoever guesses at a neighbour's password locks
nobody out but the guess.

The rule of this file: a person is kept under a keyed hash, and forgotten, password and all, when his token's life has
passed since he last asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from cachetools import TTLCache

from proxy.config.secret import Secret
from proxy.errors import ClientLimit, ClientLogin, NoToken, Overloaded
from proxy.tasks import Tasks
from proxy.tokens import policy
from proxy.tokens.bearer import BearerSource
from proxy.tokens.cache import build_cache
from proxy.tokens.explain import explain_next_step
from proxy.tokens.logins import LoginHistory, Logins
from proxy.tokens.report import build_subject
from proxy.tokens.store import MemoryStore
from proxy.tokens.token import CredentialStatus, build_token_key
from proxy.tokens.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Credential
    from proxy.tokens.answers import ParsedToken
    from proxy.tokens.bearer import Shared
    from proxy.tokens.grants import TokenRequest
    from proxy.tokens.token import Token, TokenKey

MOST_PEOPLE: Final = 1000
"""With a token each; a centre has fewer, and whoever makes names up must not fill the memory."""
MOST_UNPROVED: Final = 512
"""Logins of which nobody knows yet whether they are good; each exists only while somebody waits for it."""
MOST_UNPROVED_OF_ONE: Final = 128
"""Of one client; a hundred dispatchers behind one address may begin their shift at once."""
UNPROVED_AT_ONCE: Final = 8
"""Token calls for such logins under way together, of one client."""
MOST_REFUSED: Final = 10_000
"""Guesses remembered; what is forgotten is merely asked again."""
LOOK_S: Final = 15.0
"""Between two looks at who has gone."""
FORGIVE_S: Final = 30.0
"""After which, if nobody has asked, nothing is held against the authorization server any more."""
WHERE: Final = "sent as Basic by the client"


@dataclass(frozen=True, slots=True)
class Login:
    """A person's login, and what comes of it.

    Attributes:
        user: His name.
        client: Whose share his first token call counts against.
        logins: Those of the credential, where his calls are counted.
        refused: Called when the authorization server does not believe him.
        given_up: Called when nobody waits any more, and there is no token.
    """

    user: str
    client: str
    logins: Logins
    refused: Callable[[], None]
    given_up: Callable[[], None]


class Person(BearerSource):
    """One person's token.

    Attributes:
        asked_at: Clock seconds of his last request.
    """

    first_reason: ClassVar[str] = "login"

    def __init__(self, name: str, credential: Credential, key: TokenKey, shared: Shared, login: Login) -> None:
        """Prepare; see ``BearerSource``."""
        super().__init__(name, credential, key, shared, user=login.user)
        self._history = LoginHistory(name, login.user, login.logins)
        self._login = login
        self.asked_at = shared.clock.now()

    @property
    def life_s(self) -> float:
        """Of the token in hand, in seconds."""
        token = self.current()
        return policy.DEFAULT_LIFE_S if token is None else token.life_s

    @property
    def client(self) -> str:
        """Whose share he counts against while he is not proved."""
        return self._login.client

    @property
    def has_token(self) -> bool:
        """Whether his next request is served at once."""
        return self._held() is not None

    async def wait(self) -> Token:
        """Wait for a token.

        Raises:
            ClientLogin: If the name and the password are refused.
            NoToken: If none came in time, for another reason.
        """
        try:
            return await super().wait()
        except NoToken:
            if not self._is_disbelieved:
                raise
            self._login.refused()
            raise build_refusal() from None
        finally:
            if not self._waiters and not self.has_token:
                self._login.given_up()

    @property
    def _is_disbelieved(self) -> bool:
        """Whether it is the person that was refused, and not the client id that the proxy sent along."""
        error = self._history.last_error
        return error is not None and policy.is_person_refused(error, is_person=True)

    def renew_client(self, credential: Credential, hash_key: bytes) -> None:
        """Send another client id or secret from the next call on."""
        own = {"username": self._credential.username, "password": self._credential.password, "from_client": None}
        credential = credential.model_copy(update=own)
        self.renew_credential(credential, build_token_key(credential, hash_key))


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
        self._turnstile = Turnstile(UNPROVED_AT_ONCE)
        self._refused: TTLCache[bytes, None] = TTLCache(MOST_REFUSED, policy.REFUSED_PAUSE_S, timer=shared.clock.now)
        self._logins = Logins()
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
        key = self._hash(username, password)
        person = self._people.pop(key, None)
        if person is None:
            if key in self._refused:
                raise build_refusal()
            self._check_room(client)
            person = self._build(key, username, password, client)
        self._people[key] = person  # the last in the dictionary is the last that asked
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
        self._credential = credential
        for person in self._people.values():
            person.renew_client(credential, self._hash_key)

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

    def _build(self, key: bytes, username: str, password: str, client: str) -> Person:
        login = {"username": Secret(username, WHERE), "password": Secret(password, WHERE), "from_client": None}
        credential = self._credential.model_copy(update=login)
        token_key = build_token_key(credential, self._hash_key)
        who = Login(username, client, self._logins, partial(self._refuse, key), partial(self._drop, key))
        person: Person

        async def fetch(request: TokenRequest) -> ParsedToken:
            if person.has_token:
                return await self._shared.fetch(request)
            async with self._turnstile.turn(client):
                return await self._shared.fetch(request)

        person = Person(self.name, credential, token_key, replace(self._shared, fetch=fetch), who)
        _ = self._tasks.start(person.start(), name=f"person of {self.name}")
        return person

    def _refuse(self, key: bytes) -> None:
        self._refused[key] = None
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        person = self._people.pop(key, None)
        if person is not None:
            _ = self._tasks.start(person.stop(), name=f"person of {self.name}")

    def _check_room(self, client: str) -> None:
        """Find room for one more who is not proved; of the proved, whoever has not asked for longest gives way."""
        unproved = [person for person in self._people.values() if not person.has_token]
        if len(unproved) >= MOST_UNPROVED:
            detail = f"more than {MOST_UNPROVED} new logins are being tried; send the request again in a moment"
            raise Overloaded(detail, retry_after_s=1)
        if sum(person.client == client for person in unproved) >= MOST_UNPROVED_OF_ONE:
            what = f"more than {MOST_UNPROVED_OF_ONE} new logins of this client are being tried"
            detail = f"{what}; send the request again in a moment"
            raise ClientLimit(detail, retry_after_s=1)
        if len(self._people) - len(unproved) >= MOST_PEOPLE:
            self._drop(next(key for key, person in self._people.items() if person.has_token))

    async def _forget_the_gone(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.forget_the_gone()

    def forget_the_gone(self) -> None:
        """Forget everybody whose token's life has passed since he last asked."""
        now = self._now()
        for key, person in list(self._people.items()):
            if now - person.asked_at > person.life_s:
                self._drop(key)
        if not self._people and now - self._asked_at > FORGIVE_S:
            # Nobody's source calls again, so an outage would never be seen to end, and a balancer that has taken the
            # proxy out of service for it would never send anybody who finds out.
            self._logins.forget_error()


def build_refusal() -> ClientLogin:
    """Build the error for a name and a password that were refused."""
    detail = (
        "RapidSOS does not accept this name and password, and the same pair is not tried again for a minute; "
        "correct the login in the CAD"
    )
    return ClientLogin(detail)
