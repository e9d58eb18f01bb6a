"""Where tokens outlive a process, or are shared by several: what a token source asks of it.

The rule of this file: a store may be lost at any time, and nothing here raises for it.  Who has a token goes on with
it; who has none fetches one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.stored import StoredToken
    from proxy.tokens.token import TokenKey


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make the next token call.

    Attributes:
        fence: Grows with every claim, so that a token that comes late does not replace a later one's; 0 where nobody
            else could have claimed it, or the store could not be asked.
    """

    fence: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of asking for the right to call.

    Attributes:
        claim: None while another replica has it.
        found: The token that is stored, if there is one that could be sent.
    """

    claim: Claim | None
    found: StoredToken | None = None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store stands.

    Attributes:
        kind: ``memory``, ``file`` or ``redis``.
        place: A path or a URL; None for memory.
        usable: Whether it could be read and written the last time that it was tried.
        failures: How often it could not.
        last_error: In plain words; None while it is usable.
    """

    kind: str
    place: str | None
    usable: bool
    failures: int
    last_error: str | None


class Store(Protocol):
    """Where the sources of a process keep their tokens beyond its memory; never on a request's way."""

    async def start(self, on_return: Callable[[], None]) -> None:
        """Begin; ``on_return`` is called when a lost store is back, perhaps more than once."""
        ...

    async def stop(self) -> None:
        """End, with everything written that can be."""
        ...

    async def agree(self, key: TokenKey, mine: StoredToken | None) -> StoredToken | None:
        """Store ``mine``, if it is newer than what is stored; return what is stored then."""
        ...

    async def take_turn(self, key: TokenKey, *, steal: bool) -> Turn:
        """Ask for the right to make the next token call; ``steal`` takes it from whoever has it."""
        ...

    async def end_turn(self, key: TokenKey, claim: Claim, token: StoredToken | None) -> None:
        """Give the right back, and store the token that the call brought; None if it brought none to keep."""
        ...

    def status(self) -> StoreStatus:
        """Return how it stands."""
        ...


class MemoryStore:
    """No store: tokens live in the process's cache alone."""

    async def start(self, on_return: Callable[[], None]) -> None:
        """Nothing is opened, and nothing can be lost."""

    async def stop(self) -> None:
        """Nothing is written."""

    async def agree(self, key: TokenKey, mine: StoredToken | None) -> StoredToken | None:  # noqa: ARG002 (see Store)
        """Nobody has another."""
        return mine

    async def take_turn(self, key: TokenKey, *, steal: bool) -> Turn:  # noqa: ARG002 (see Store)
        """There is nobody else."""
        return Turn(Claim())

    async def end_turn(self, key: TokenKey, claim: Claim, token: StoredToken | None) -> None:
        """Nobody waits for it."""

    def status(self) -> StoreStatus:
        """Return that all is well."""
        return StoreStatus("memory", None, usable=True, failures=0, last_error=None)
