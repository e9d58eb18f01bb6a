"""The persons of whom nobody knows yet whether their logins are good: so many of each client, and so many in all.

Whoever can reach the listener can make names up, so there is a bound; and a bound is what an attacker fills, so it
matters who gives way.  First those for whom nobody waits: nothing is lost with them but the memory of a pause.  Then
the newest of the client that has most, if the one who comes is of a client that has fewer.  And nobody gives way whose
token call is under way, since RapidSOS would be asked for nothing.  All calls may hang; so there are more places for a
client that has few, and a dispatcher at a desk of his own finds one however many logins others invent.

The rule of this file: pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from proxy.errors import ClientLimit, Overloaded

if TYPE_CHECKING:
    from collections.abc import Iterable


class Newcomer(Protocol):
    """A person who is not proved.

    Attributes:
        client: Whose share he counts against.
        is_calling: Whether his token call is under way.
        is_idle: Whether it is not, and nobody waits for him.
    """

    @property
    def client(self) -> str: ...  # noqa: D102 (see the class)
    @property
    def is_calling(self) -> bool: ...  # noqa: D102 (see the class)
    @property
    def is_idle(self) -> bool: ...  # noqa: D102 (see the class)


Anyone = TypeVar("Anyone", bound=Newcomer)


class Newcomers(Generic[Anyone]):
    """All of one credential, by client, in the order in which they came."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Begin with nobody.

        Args:
            most: Of all clients together; half as many again where the one who comes is his client's second, twice as
                many where he is its first: see ``_count_places``.
            most_of_one: Of one client.
        """
        self._most = most
        self._most_of_one = most_of_one
        self._of: dict[str, dict[Anyone, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def add(self, person: Anyone) -> None:
        """Somebody has come."""
        self._of.setdefault(person.client, {})[person] = None
        self._count += 1

    def discard(self, person: Anyone) -> None:
        """He is proved, or has gone."""
        crowd = self._of.get(person.client)
        if crowd is not None and person in crowd:
            del crowd[person]
            self._count -= 1
            if not crowd:
                del self._of[person.client]

    def make_room(self, client: str) -> Anyone | None:
        """Return who has to give way for one more of ``client``; None while there is room.

        Raises:
            ClientLimit: If this client has as many as it may, and all are waited for.
            Overloaded: If there are as many as there may be, and nobody can give way.
        """
        own = self._of.get(client, {})
        if len(own) >= self._most_of_one:
            idle = _find_idle(own)
            if idle is None:
                what = f"{self._most_of_one} new logins of this client are being tried"
                detail = f"{what}; send the request again in a moment"
                raise ClientLimit(detail, retry_after_s=1)
            return idle
        return None if self._count < self._count_places(len(own)) else self._find_weakest(len(own))

    def _count_places(self, own: int) -> int:
        """Return how many places there are for a client that has ``own``.

        Each that it has halves what there is beside those for all.  So hundreds of clients have to be there to take all
        of these: an attacker invents addresses less easily than logins.
        """
        return self._most + (self._most >> own)

    def _find_weakest(self, own: int) -> Anyone:
        crowds = sorted(self._of.values(), key=len, reverse=True)
        for crowd in crowds:
            if (idle := _find_idle(crowd)) is not None:
                return idle
        for crowd in crowds:
            if len(crowd) <= own + 1:  # two that are alike would push each other out for ever
                break
            if (newest := next((person for person in reversed(crowd) if not person.is_calling), None)) is not None:
                return newest
        detail = f"{self._count} new logins are being tried; send the request again in a moment"
        raise Overloaded(detail, retry_after_s=1)


def _find_idle(crowd: Iterable[Anyone]) -> Anyone | None:
    return next((person for person in crowd if person.is_idle), None)
