"""The first line of a sealed log that is not what was written.

The rule of this file: lines are given one at a time, with where they stand, and nothing is kept of them but the mark
of the last and the hashes of some before it, so that a log of any size is verified in little memory.  What cannot be
proved and is no break is noted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.traffic.seal import FILE_GONE, MOST_UNSEEN, START, TornLines, is_whole, parse_opening, parse_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.traffic.seal import Mark, Opening, SealedLine, SealKey

BACKUP = "compare with a backup, and find out who could write to the log's directory"
OLD_KEY = (
    "give the keys in the order of their use, the oldest first; if that was it, somebody who had this key has forged "
    "from here on"
)
MOST_TORN_FILES = 8
"""Without a sealed line, one behind the other."""
_BEGINNINGS = (b"{", b"\0")
"""Of a line that a kill has torn, or a loss of power."""


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


class _Torn:
    """Lines without a seal behind the last that has one, which only what follows can explain.

    Attributes:
        place: Of the first.
        file: That the last of them stands in.
        whole: Place of the first that is a JSON object, and so was not torn; None: none is.
        is_begun: Whether each could be the beginning of a record.
    """

    def __init__(self, place: Place) -> None:
        """Begin with none."""
        self.place = place
        self.file = ""
        self.whole: Place | None = None
        self.is_begun = True
        # From each file's beginning on, since a writer that was killed may have known of the newest files alone.
        self._parts: list[TornLines] = []

    def add(self, line: bytes, place: Place) -> None:
        """Take one more."""
        if place.file != self.file and len(self._parts) < MOST_TORN_FILES:
            self._parts.append(TornLines())
        self.file = place.file
        for part in self._parts:
            part.add(line)
        if self.whole is None and is_whole(line):
            self.whole = place
        self.is_begun = self.is_begun and line.startswith(_BEGINNINGS)

    def is_told_by(self, opening: Opening, place: Place, *, is_first: bool) -> bool:
        """Return whether an opening says that it found these lines before it.

        Args:
            opening: What follows them.
            place: Where that stands.
            is_first: Whether what is before these lines is not read.
        """
        every, *parts = (part.measure() for part in self._parts)
        if opening.torn == every:
            return True
        if opening.reason == FILE_GONE:
            return opening.torn in parts if opening.torn is not None else self.file != place.file
        return is_first and opening.torn is not None and every is not None and every.size < opening.torn.size


class Verifier:
    """Follows the chain of seals.

    Attributes:
        lines: Sealed lines that hold so far.
        unsealed: Lines from before the log was sealed.
        notes: What cannot be proved, each with its place.
        mark: Of the last line; None: there was none.
        first: Number of the first line; 0: there was none.
    """

    def __init__(self, keys: Sequence[SealKey], file: str, newest: Mark | None) -> None:
        """Prove with some keys.

        Args:
            keys: In the order of their use.
            file: The first that will be read.
            newest: The newest line as it is known before that, proved by the last of the keys; None: nothing tells.
        """
        self._keys = {key.fingerprint: (turn, key) for turn, key in enumerate(keys)}
        self._last_turn = len(keys) - 1
        self._newest = newest
        self._turn = 0
        self._key: SealKey | None = None
        self._place = Place(file, 0)
        self._torn: _Torn | None = None
        self._recent: deque[bytes] = deque(maxlen=MOST_UNSEEN + 1)
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

    def end(self) -> None:
        """Verify that the log ends where it should.

        Raises:
            Broken: If lines are missing from the end, or something stands there that nobody has sealed.
        """
        newest, last = self._newest, self.mark or START
        cut = 0 if newest is None else max(0, newest.number - last.number)
        if self._torn is not None:
            self._end_torn(self._torn, is_cut=cut > 0)
        if cut:
            number = last.number + cut
            raise Broken(self._place, f"behind this line, {_count(cut)} cut off: the log went up to {number}")
        if newest is None and self._key is not None and self._turn < self._last_turn:
            self.notes.append(
                f"{self._place}: the end is sealed with an older key ({self._key.fingerprint}): whoever had that could "
                "forge all of it, unless the log is read on to where the next key begins"
            )

    def _end_torn(self, torn: _Torn, *, is_cut: bool) -> None:
        """Refuse lines without a seal at the end, unless a kill can have left them."""
        if torn.whole is not None or not torn.is_begun or self.mark is None or is_cut:
            self._refuse_unsealed(torn.whole or torn.place)
        self.notes.append(f"{torn.place}: the end of this line is not there (yet): the proxy writes it, or was killed")

    def _take_unsealed(self, line: bytes, place: Place) -> None:
        self._torn = self._torn or _Torn(place)
        self._torn.add(line, place)
        if self.mark is None:
            self.unsealed += 1
        elif self._torn.whole is not None:
            self._refuse_unsealed(self._torn.whole)

    def _take_opening(self, line: bytes, sealed: SealedLine, place: Place) -> None:
        opening = parse_opening(line)
        if opening is None:
            raise Broken(place, "it was changed")
        turn, key = self._keys.get(opening.key, (0, None))
        if key is None:
            fix = (
                "give that key as well: --key-file FILE, once for each key; if there never was one, the line is forged"
            )
            raise Broken(place, f"from here on the log is sealed with another key ({opening.key})", fix)
        previous = opening.previous or START
        if not key.is_sealed(sealed, previous):
            self._refuse(sealed, place)
        self._check_unsealed(opening, place)
        self._check_previous(opening, place)
        if turn < self._turn:
            raise Broken(place, _of_old_key(opening.key), OLD_KEY)
        gone = sealed.mark.number - previous.number - 1 - opening.passed_over
        if gone:
            raise Broken(
                place, f"before this line, {_count(gone)} gone when the proxy started: cut off, or lost by power"
            )
        self._turn, self._key = turn, key
        self._check_newest(sealed, place)
        self._note_opening(opening, place)
        self._pass(sealed)

    def _take_line(self, sealed: SealedLine, place: Place) -> None:
        if self._torn is not None:
            self._refuse_unsealed(self._torn.place)
        if self.mark is None or self._key is None:
            raise Broken(
                place, f"the log does not begin here: what was written before line {sealed.mark.number} is gone"
            )
        if sealed.mark.number != self.mark.number + 1 or not self._key.is_sealed(sealed, self.mark):
            self._refuse(sealed, place)
        self._check_newest(sealed, place)
        self._pass(sealed)

    def _check_newest(self, sealed: SealedLine, place: Place) -> None:
        """Refuse a line that is not the newest known, though it has its number, or is newer and of an older key."""
        newest = self._newest
        if newest is None or sealed.mark.number < newest.number:
            return
        if sealed.mark.number == newest.number and sealed.mark != newest:
            raise Broken(place, "it is not the line that was written here last")
        if sealed.mark.number > newest.number and self._key is not None and self._turn < self._last_turn:
            raise Broken(place, _of_old_key(self._key.fingerprint), OLD_KEY)

    def _pass(self, sealed: SealedLine) -> None:
        self.mark = sealed.mark
        self._recent.append(sealed.mark.digest)
        self.first = self.first or sealed.mark.number
        self.lines += 1

    def _check_unsealed(self, opening: Opening, place: Place) -> None:
        """Refuse what stands before an opening, unless that was torn, or is from before the log was sealed."""
        torn, self._torn = self._torn, None
        begins = self.mark is None and opening.previous is None
        if torn is None and opening.torn is not None and self.mark is not None:
            raise Broken(place, "the torn line that stood before it was removed")
        if torn is None or begins:
            return
        if torn.whole is not None or not torn.is_told_by(opening, place, is_first=self.mark is None):
            self._refuse_unsealed(torn.whole or torn.place)
        self.unsealed = 0
        self.notes.append(
            f"{torn.place}: this line was torn when the proxy was killed or its disk failed, and is no record"
        )

    def _check_previous(self, opening: Opening, place: Place) -> None:
        """Refuse an opening that goes on from another line than the one before it."""
        mark, previous = self.mark, opening.previous or START
        if mark is None or mark == previous:
            return
        if opening.reason == FILE_GONE and previous.digest in self._recent:
            return
        if previous.number > mark.number:
            raise Broken(place, f"before this line, {_count(previous.number - mark.number)} missing: {_GONE}")
        if opening.previous is None:
            fix = f"if nobody removed the log while the proxy was stopped, {BACKUP}"
            raise Broken(place, "another chain of seals begins here", fix)
        raise Broken(place, f"it stands here again, or at the wrong place: it follows line {previous.number}")

    def _note_opening(self, opening: Opening, place: Place) -> None:
        previous = (opening.previous or START).number
        if self.mark is None and opening.previous is None:
            before = f", {self.unsealed} unsealed lines are before it" if self.unsealed else ""
            self.notes.append(f"{place}: the seals begin here{before}")
        elif self.mark is None:
            older = f"lines up to {previous} are in older files"
            self.notes.append(f"{place}: {older}, which are not here, and not proved")
        if opening.reason == FILE_GONE:
            self.notes.append(
                f"{place}: the proxy was started with no sealed line in its file: lines of the last second before, "
                f"behind line {previous}, would not be missed"
            )
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

    def _refuse_unsealed(self, place: Place) -> None:
        raise Broken(place, "it has no seal: it was inserted or changed, or the proxy ran without a seal")


_GONE = "removed or moved, this one changed, or a file is not given"


def _of_old_key(fingerprint: str) -> str:
    return f"it is sealed with a key that was out of use by then ({fingerprint})"


def _count(number: int) -> str:
    return "1 line is" if number == 1 else f"{number} lines are"
