"""The first line of a sealed log that is not what was written.

The rule of this file: lines are given one at a time, with where they stand, and nothing is kept of them but the mark
of the last, so that a log of any size is verified in little memory.  What cannot be proved and is no break is noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.traffic.seal import START, is_whole, measure_torn, parse_opening, parse_sealed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.traffic.seal import Mark, Opening, SealedLine, SealKey, Torn

BACKUP = "compare with a backup, and find out who could write to the log's directory"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file.

    Attributes:
        line: Counted from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        """Return it as editors and grep write it."""
        return f"{self.file}:{self.line}"


class Broken(Exception):
    """A line is not what was written.

    Attributes:
        place: The first such line.
        problem: What is wrong with it.
        fix: What to do.
    """

    def __init__(self, place: Place, problem: str, fix: str = BACKUP) -> None:
        """Keep all three."""
        super().__init__(f"{place}: {problem}")
        self.place, self.problem, self.fix = place, problem, fix


@dataclass(frozen=True, slots=True)
class _Unsealed:
    """A line without a seal, which only what follows can explain.

    Attributes:
        is_ended: Whether it has its line feed.
        is_whole: Whether it is a JSON object, and so was not torn.
    """

    place: Place
    torn: Torn
    is_ended: bool
    is_whole: bool


class Verifier:
    """Follows the chain of seals.

    Attributes:
        lines: Sealed lines that hold so far.
        unsealed: Lines from before the log was sealed.
        notes: What cannot be proved, each with its place.
        mark: Of the last line; None: there was none.
        first: Number of the first line; 0: there was none.
    """

    def __init__(self, keys: Iterable[SealKey], file: str) -> None:
        """Prove with ``keys``, of which the log says where it uses which; ``file`` is the first that will be read."""
        self._keys = {key.fingerprint: key for key in keys}
        self._key: SealKey | None = None
        self._place = Place(file, 0)
        self._unsealed: _Unsealed | None = None
        self.lines = 0
        self.unsealed = 0
        self.first = 0
        self.notes: list[str] = []
        self.mark: Mark | None = None

    def take(self, line: bytes, place: Place) -> None:
        """Verify a line.

        Args:
            line: With its line feed; the last of a file may lack it.
            place: Where it stands.

        Raises:
            Broken: If it is not what was written at this place.
        """
        self._place = place
        sealed = parse_sealed(line)
        if sealed is None:
            self._take_unsealed(line, place)
        elif sealed.is_opening:
            self._take_opening(line, sealed, place)
        else:
            self._take_line(sealed, place)

    def end(self, newest: Mark | None) -> None:
        """Verify that the log ends where it should.

        Args:
            newest: The newest line as it was known before the first was read; None: nothing tells.

        Raises:
            Broken: If lines are missing from the end, or something stands there that nobody has sealed.
        """
        left = self._unsealed
        if left is not None and (left.is_ended or left.is_whole or self.mark is None):
            self._refuse_unsealed(left)
        if left is not None:
            self.notes.append(
                f"{left.place}: the end of this line is not there (yet): the proxy writes it, or was killed"
            )
        if newest is None:
            return
        last = self.mark or START
        if newest.number > last.number:
            count = newest.number - last.number
            raise Broken(self._place, f"behind this line, {_count(count)} cut off: the log went up to {newest.number}")
        if newest.number == last.number and newest != last:
            raise Broken(self._place, "it is not the line that was written last")

    def _take_unsealed(self, line: bytes, place: Place) -> None:
        found = _Unsealed(place, measure_torn(line), line.endswith(b"\n"), is_whole(line))
        if self.mark is None:
            self.unsealed += 1
            self._unsealed = self._unsealed or found
            return
        if self._unsealed is not None or found.is_whole:
            self._refuse_unsealed(self._unsealed or found)
        self._unsealed = found

    def _take_opening(self, line: bytes, sealed: SealedLine, place: Place) -> None:
        opening = parse_opening(line)
        if opening is None:
            raise Broken(place, "it was changed")
        key = self._keys.get(opening.key)
        if key is None:
            fix = (
                "give that key as well: --key-file FILE, once for each key; if there never was one, the line is forged"
            )
            raise Broken(place, f"from here on the log is sealed with another key ({opening.key})", fix)
        previous = opening.previous or START
        if not key.is_sealed(sealed, previous):
            self._refuse(sealed, place)
        self._check_unsealed(opening)
        self._check_previous(opening, place)
        if sealed.mark.number != previous.number + 1:
            gone = sealed.mark.number - previous.number - 1
            raise Broken(
                place, f"before this line, {_count(gone)} gone when the proxy started: cut off, or lost by power"
            )
        self._note_opening(opening, place)
        self._key = key
        self._pass(sealed)

    def _take_line(self, sealed: SealedLine, place: Place) -> None:
        if self._unsealed is not None:
            self._refuse_unsealed(self._unsealed)
        if self.mark is None or self._key is None:
            raise Broken(
                place, f"the log does not begin here: what was written before line {sealed.mark.number} is gone"
            )
        if sealed.mark.number != self.mark.number + 1 or not self._key.is_sealed(sealed, self.mark):
            self._refuse(sealed, place)
        self._pass(sealed)

    def _pass(self, sealed: SealedLine) -> None:
        self.mark = sealed.mark
        self.first = self.first or sealed.mark.number
        self.lines += 1

    def _check_unsealed(self, opening: Opening) -> None:
        """Refuse what stands before an opening, unless that was torn, or is from before the log was sealed."""
        left, self._unsealed = self._unsealed, None
        begins = self.mark is None and opening.previous is None
        if left is None and opening.torn is not None and self.mark is not None:
            raise Broken(self._place, "the torn line that stood before it was removed")
        if left is None or begins:
            return
        if left.is_whole or left.torn != opening.torn or (self.mark is None and self.unsealed > 1):
            self._refuse_unsealed(left)
        self.unsealed = 0
        self.notes.append(
            f"{left.place}: this line was torn when the proxy was killed or its disk failed, and is no record"
        )

    def _check_previous(self, opening: Opening, place: Place) -> None:
        """Refuse an opening that goes on from another line than the one before it."""
        mark, previous = self.mark, opening.previous or START
        if mark is None or mark == previous:
            return
        if previous.number > mark.number:
            raise Broken(place, f"before this line, {_count(previous.number - mark.number)} missing: {_GONE}")
        if opening.previous is None:
            fix = f"if nobody removed the log while the proxy was stopped, {BACKUP}"
            raise Broken(place, "another chain of seals begins here", fix)
        raise Broken(place, f"it stands here again, or at the wrong place: it follows line {previous.number}")

    def _note_opening(self, opening: Opening, place: Place) -> None:
        if self.mark is None and opening.previous is None:
            before = f", {self.unsealed} unsealed lines are before it" if self.unsealed else ""
            self.notes.append(f"{place}: the seals begin here{before}")
        elif self.mark is None:
            older = f"lines up to {opening.previous.number if opening.previous else 0} are in older files"
            self.notes.append(f"{place}: {older}, which are not here, and not proved")
        if opening.missing is None:
            self.notes.append(f"{place}: what was cut off from the end before this start could not be missed")

    def _refuse(self, sealed: SealedLine, place: Place) -> None:
        """Say what a line is that does not follow the one before it."""
        number, expected = sealed.mark.number, (self.mark or START).number + 1
        if self.mark is None or number == expected:
            raise Broken(place, "it was changed, or put in the place of another")
        if number > expected:
            problem = f"before this line, {_count(number - expected)} missing: {_GONE}"
        else:
            problem = f"it is line {number}, and stands here again, or was moved here"
        raise Broken(place, problem)

    def _refuse_unsealed(self, left: _Unsealed) -> None:
        raise Broken(left.place, "it has no seal: it was inserted or changed, or the proxy ran without a seal")


_GONE = "removed or moved, this one changed, or a file is not given"


def _count(number: int) -> str:
    return "1 line is" if number == 1 else f"{number} lines are"
