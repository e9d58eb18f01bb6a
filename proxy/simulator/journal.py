"""What arrived at the simulator, for whoever wants to look: a test, a person who rehearses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Entry(Protocol):
    """Something that a journal keeps."""

    @property
    def held_bytes(self) -> int:
        """Bytes that keeping it costs, roughly."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request, as received.

    Attributes:
        method: As received.
        raw_path: The target, byte for byte; bytes above 0x7F as surrogates.
        headers: Name and value in the order and case received, as latin-1.
        body: Without its transfer coding; empty for endpoints that take their body in passing.
        bearer: The token presented, or None.
        authorized: Whether the credential presented was good when the request arrived.
    """

    method: str
    raw_path: str
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    bearer: str | None = field(repr=False)
    authorized: bool

    @property
    def held_bytes(self) -> int:
        """Bytes of the body."""
        return len(self.body)

    def values(self, name: str) -> list[str]:
        """Return every value of the field ``name``, whatever its case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One call of a token endpoint, without its secrets.

    Attributes:
        path: The endpoint.
        grant: The grant_type, or None when it could not be read.
        client_id: Who asked, from body or header.
        username: The person, in a password grant.
        client_auth: How the client proved itself: ``body``, ``basic`` or ``none``.
        encoding: What the body is: ``form``, ``json`` or ``unreadable``.
        fields: The other fields, secrets left out.
        headers: As received, Authorization masked.
    """

    path: str
    grant: str | None
    client_id: str | None
    username: str | None
    client_auth: str
    encoding: str
    fields: dict[str, str]
    headers: list[tuple[str, str]] = field(repr=False)

    @property
    def held_bytes(self) -> int:
        """Nothing worth counting."""
        return 0


EntryT = TypeVar("EntryT", bound=Entry)


class Journal(Collection[EntryT]):
    """The latest entries, oldest first, bounded in number and bytes.

    Attributes:
        total: How many there have been since the start or the last ``clear``, those dropped included.
    """

    def __init__(self, keep: int, keep_bytes: int) -> None:
        """Keep at most ``keep`` entries, and only the latest when their bytes exceed ``keep_bytes``."""
        self.total = 0
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._entries: deque[EntryT] = deque()
        self._held_bytes = 0
        self._grown = asyncio.Event()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._entries)

    def __iter__(self) -> Iterator[EntryT]:
        """Iterate, oldest first."""
        return iter(list(self._entries))

    def __contains__(self, entry: object) -> bool:
        """Tell whether ``entry`` is kept."""
        return entry in self._entries

    def __getitem__(self, index: int) -> EntryT:
        """Return one of those kept; -1 is the latest."""
        return self._entries[index]

    def add(self, entry: EntryT) -> None:
        """Write one down, and wake whoever waits for it."""
        self._entries.append(entry)
        self._held_bytes += entry.held_bytes
        self.total += 1
        while len(self._entries) > self._keep or (self._held_bytes > self._keep_bytes and len(self._entries) > 1):
            self._held_bytes -= self._entries.popleft().held_bytes
        self._grown.set()
        self._grown = asyncio.Event()

    def clear(self) -> None:
        """Forget all, and count from nought."""
        self._entries.clear()
        self._held_bytes = self.total = 0

    async def reached(self, total: int) -> None:
        """Wait until there have been ``total``."""
        while self.total < total:
            await self._grown.wait()
