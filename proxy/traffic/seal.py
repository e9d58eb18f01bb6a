"""Seals of the traffic log: each line numbered, and bound to the one before it by a keyed hash.

The rule of this file: a seal is the end of its line, ``,"seal":"NUMBER:HASH"}``, over the bytes as they stand before
the hash, so that whoever verifies it parses and writes nothing anew.  The hash is HMAC-SHA-256 (FIPS 198-1) of the
hash before and those bytes.  Where a writer begins, at each start and in each file, it says with a record
``log.sealed`` what it goes on from.
"""

from __future__ import annotations

import hmac
import re
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

SEALED = "log.sealed"
STARTED = "started"
NEW_FILE = "new_file"
FILE_GONE = "file_gone"
DIGEST = "sha256"
DIGEST_DIGITS = 64
FINGERPRINT_DIGITS = 12
MOST_SEAL_BYTES = 100
"""More than a seal has: its name, a number of up to 18 digits, the hash."""

MOST_UNSEEN = 100_000
"""Lines that a file which is gone may have behind the newest mark that was kept: more than are written in a second."""

MOST_UNPROVED = 10**15
"""The largest number that is gone on from without a proof; 100,000 lines a second reach it in 300 years.  Whoever may
write beside a log must not bring its numbers to where no room is left for more."""

_LINES = b"rapidsos-proxy traffic log 1: lines"
_NEWEST = b"rapidsos-proxy traffic log 1: newest"
_FINGERPRINT = b"rapidsos-proxy traffic log 1: fingerprint"
_MARK = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)
_FINGERPRINT_TEXT = re.compile(r"[0-9a-f]{12}", re.ASCII)
_ANY_SEAL = re.compile(rb',"seal":"([1-9][0-9]{0,17}):([0-9a-f]{64})"\}\n')
_SEAL = re.compile(_ANY_SEAL.pattern + rb"\Z")
_OPENING = re.compile(rb'\{"ts":"[^"]{1,40}","event":"log\.sealed",')
_HASH_AND_END = len(b'"}\n') + DIGEST_DIGITS


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the chain: the number of a line and its hash, in hex."""

    number: int
    digest: bytes

    def __str__(self) -> str:
        """Return ``NUMBER:HASH``, as it stands in the log."""
        return f"{self.number}:{self.digest.decode()}"


START = Mark(0, b"0" * DIGEST_DIGITS)
"""What the first line of all goes on from."""


@dataclass(frozen=True, slots=True)
class SealedLine:
    """A line that ends in a seal, true or not.

    Attributes:
        body: What the hash is over, beside the hash before.
        is_opening: Whether it is a record ``log.sealed``.
    """

    mark: Mark
    body: bytes
    is_opening: bool


@dataclass(frozen=True, slots=True)
class Torn:
    """Beginnings of lines whose ends were never written: see ``TornLines``.

    Attributes:
        size: Bytes.
        digest: SHA-256 in hex, so that nobody puts something else there.
    """

    size: int
    digest: str


class TornLines:
    """Measures all that stands behind a sealed line, over files, up to where a writer begins.

    The line feed that ends the last of them does not count: it is put there when the file is opened again, or never.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._hash = sha256()
        self._size = 0
        self._is_empty = True

    def __repr__(self) -> str:
        """Show how much there is."""
        return f"<TornLines {self._size} bytes>"

    def add(self, line: bytes) -> None:
        """Take one more, with its line feed or without."""
        text = line.removesuffix(b"\n") if self._is_empty else b"\n" + line.removesuffix(b"\n")
        self._hash.update(text)
        self._size += len(text)
        self._is_empty = False

    def measure(self) -> Torn | None:
        """Return what tells them from any others; None: there are none."""
        return None if self._is_empty else Torn(self._size, self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Opening:
    """What a writer says where it begins.

    Attributes:
        reason: ``started`` (the proxy), ``new_file``, or ``file_gone``: it was started with a file that
            has no sealed line, so that more lines may be behind ``previous``, elsewhere; their numbers are left free.
        key: Fingerprint of the key that seals from here on.
        previous: The line that it goes on from; None: there is none, the chain begins.
        torn: All that stands between that line and this one; None: nothing.
        missing: Lines that had been written after ``previous`` and were gone at the start; None: nobody knows.
    """

    reason: str
    key: str
    previous: Mark | None
    torn: Torn | None = None
    missing: int | None = 0

    @property
    def passed_over(self) -> int:
        """How many numbers are left out before it, beside those of ``missing`` lines."""
        return MOST_UNSEEN if self.reason == FILE_GONE else 0


class SealKey:
    """Seals and proves with one key.

    Attributes:
        fingerprint: Tells keys apart and gives none away.
    """

    def __init__(self, key: bytes) -> None:
        """Derive a key for each purpose, so that the hash of one never stands for another."""
        self._lines = hmac.digest(key, _LINES, DIGEST)
        self._newest = hmac.digest(key, _NEWEST, DIGEST)
        self.fingerprint = hmac.digest(key, _FINGERPRINT, DIGEST).hex()[:FINGERPRINT_DIGITS]

    def __repr__(self) -> str:
        """Show which key it is."""
        return f"<SealKey {self.fingerprint}>"

    def seal(self, line: bytes, after: Mark, *, missing: int = 0) -> tuple[bytes, Mark]:
        """Return a line with its seal, and the mark of it.

        Args:
            line: A JSON object that has a key, with its line feed.
            after: The line before it.
            missing: How many numbers to pass over.
        """
        number = after.number + missing + 1
        body = b'%s,"seal":"%d:' % (line[:-2], number)
        digest = self._hash(after, body)
        return b'%s%s"}\n' % (body, digest), Mark(number, digest)

    def is_sealed(self, line: SealedLine, after: Mark) -> bool:
        """Return whether a line is what was sealed after ``after``."""
        return hmac.compare_digest(self._hash(after, line.body), line.mark.digest)

    def build_newest(self, mark: Mark) -> bytes:
        """Build what is kept beside the log: the newest line, so that it is missed when it is cut off."""
        text = str(mark)
        proof = hmac.digest(self._newest, text.encode(), DIGEST).hex()
        return orjson.dumps({"newest": text, "key": self.fingerprint, "proof": proof}) + b"\n"

    def parse_newest(self, data: bytes) -> Mark | None:
        """Return the mark that ``build_newest`` was given with this key; None for anything else."""
        match _parse_object(data):
            case {"newest": str(text), "proof": str(proof)}:
                true = hmac.digest(self._newest, text.encode(), DIGEST).hex()
                return parse_mark(text) if hmac.compare_digest(true.encode(), proof.encode()) else None
            case _:
                return None

    def _hash(self, after: Mark, body: bytes) -> bytes:
        return hmac.digest(self._lines, after.digest + body, DIGEST).hex().encode()


def parse_mark(text: str) -> Mark | None:
    """Parse ``NUMBER:HASH``; None if it is anything else."""
    match = _MARK.fullmatch(text)
    return Mark(int(match[1]), match[2].encode()) if match else None


def parse_sealed(line: bytes) -> SealedLine | None:
    """Take a line apart; None if it does not end in a seal and a line feed."""
    match = _SEAL.search(line, max(0, len(line) - MOST_SEAL_BYTES))
    if match is None:
        return None
    return SealedLine(Mark(int(match[1]), match[2]), line[:-_HASH_AND_END], _OPENING.match(line) is not None)


def find_last_seal(data: bytes) -> tuple[Mark, int] | None:
    """Return the mark of the last sealed line that ends within ``data``, and where it ends; None if none does.

    It proves nothing; lines with a number beyond ``MOST_UNPROVED`` are none.
    """
    newest = deque((seal for seal in _ANY_SEAL.finditer(data) if int(seal[1]) <= MOST_UNPROVED), maxlen=1)
    return (Mark(int(newest[0][1]), newest[0][2]), newest[0].end()) if newest else None


def parse_claim(data: bytes) -> Mark | None:
    """Return what ``build_newest`` was given, with any key, unproved: a place to go on from, and no more.

    None for anything else, and beyond ``MOST_UNPROVED``.
    """
    match _parse_object(data):
        case {"newest": str(text)}:
            mark = parse_mark(text)
            return mark if mark is not None and mark.number <= MOST_UNPROVED else None
        case _:
            return None


def build_opening(at: str, opening: Opening) -> bytes:
    """Build the record ``log.sealed``, without its seal; ``at`` is the moment as records show it."""
    torn = opening.torn
    record = {
        "ts": at,
        "event": SEALED,
        "reason": opening.reason,
        "key": opening.key,
        "previous": None if opening.previous is None else str(opening.previous),
        "torn": None if torn is None else {"bytes": torn.size, "sha256": torn.digest},
        "missing": opening.missing,
    }
    return orjson.dumps(record) + b"\n"


def parse_opening(line: bytes) -> Opening | None:
    """Parse a record ``log.sealed``; None if it is none."""
    match _parse_object(line):
        case {
            "event": "log.sealed",
            "reason": str(reason),
            "key": str(key),
            "previous": str() | None as previous,
            "torn": dict() | None as torn,
            "missing": int() | None as missing,
        }:
            mark = None if previous is None else parse_mark(previous)
            if (previous is None) == (mark is None) and _FINGERPRINT_TEXT.fullmatch(key):
                return Opening(reason, key, mark, _parse_torn(torn), missing)
        case _:
            pass
    return None


def is_whole(line: bytes) -> bool:
    """Return whether a line without a seal is a whole object, and so was not torn by whoever seals."""
    return _parse_object(line) is not None and parse_sealed(line.removesuffix(b"\n") + b"\n") is None


def _parse_torn(table: dict[str, Any] | None) -> Torn | None:
    match table:
        case {"bytes": int(size), "sha256": str(digest)}:
            return Torn(size, digest)
        case _:
            return None


def _parse_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
