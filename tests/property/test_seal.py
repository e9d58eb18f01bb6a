"""A sealed log over several files: whatever is done to its lines, the first that is not what was written is named.

The oracle knows no hash: it compares with the log as it was, line by line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proxy.traffic.seal import START, Mark, Opening, SealKey, TornLines, build_opening, parse_sealed
from proxy.traffic.verify import Broken, Place, Verifier

KEYS = [SealKey(bytes([number]) * 32) for number in range(1, 4)]
"""In the order of their use."""
FORGERS = SealKey(bytes(32))
AT = "2026-11-24T09:05:35.914Z"
EXAMPLES = 400
RESTART, CHANGE, KILL = "restart", "change", "kill"
LAYOUTS = st.lists(
    st.lists(st.one_of(st.sampled_from([RESTART, CHANGE, KILL, KILL]), st.text(max_size=5)), max_size=6),
    min_size=1,
    max_size=4,
)
"""For each file what is written to it: the texts of lines, starts of the proxy, also with the next key, and kills, each
of which tears a line that the next start, or the next file, tells of."""


@dataclass
class Log:
    """Files of lines, and the newest mark; the key that is in use at the end."""

    files: list[list[bytes]]
    newest: Mark
    turn: int


class Proxy:
    """Writes a log as the proxy does."""

    def __init__(self) -> None:
        """Have written nothing."""
        self.mark = START
        self.turn = 0
        self.torn = TornLines()
        self.file: list[bytes] = []

    def write(self, text: str) -> None:
        """Write a line."""
        self._seal(json.dumps({"ts": AT, "seq": 1, "event": "exchange.closed", "text": text}).encode() + b"\n")

    def begin(self, reason: str) -> None:
        """Write what it goes on from."""
        previous = None if self.mark == START else self.mark
        torn = self.torn.measure() if previous else None
        self._seal(build_opening(AT, Opening(reason, KEYS[self.turn].fingerprint, previous, torn)))
        self.torn = TornLines()

    def tear(self, text: str) -> None:
        """Be killed within a line."""
        line = f'{{"ts":"{AT}","seq":1,"event":"exchange.cl{text}'.encode()
        self.torn.add(line)
        self.file.append(line + b"\n")

    def _seal(self, record: bytes) -> None:
        line, self.mark = KEYS[self.turn].seal(record, self.mark)
        self.file.append(line)


def build_log(layout: list[list[str]]) -> Log:
    """Write a log."""
    proxy = Proxy()
    files = []
    for number, texts in enumerate(layout):
        proxy.file = []
        proxy.begin("new_file" if number else "started")
        for count, text in enumerate(texts):
            if text == KILL:
                proxy.tear(str(count))
                continue
            if text == CHANGE:
                proxy.turn = min(proxy.turn + 1, len(KEYS) - 1)
            if text in {RESTART, CHANGE} or proxy.torn.measure():
                proxy.begin("started")
            if text not in {RESTART, CHANGE}:
                proxy.write(text)
        files.append(proxy.file)
    return Log(files, proxy.mark, proxy.turn)


def number_lines(files: list[list[bytes]]) -> list[tuple[Place, bytes]]:
    """Return every line with its place, as they are read from files."""
    return [
        (Place(f"traffic.{name}", number), line)
        for name, file in enumerate(files)
        for number, line in enumerate(b"".join(file).splitlines(keepends=True), 1)
    ]


def find_break(files: list[list[bytes]], log: Log) -> Place | None:
    """Return where files are broken that should be those of a log; None if they hold."""
    verifier = Verifier(KEYS[: log.turn + 1], "traffic.0", log.newest)
    try:
        for place, line in number_lines(files):
            verifier.take(line, place)
        verifier.end()
    except Broken as broken:
        return broken.place
    return None


def expect_break(changed: list[list[bytes]], original: list[list[bytes]]) -> Place | None:
    """Return the first place at which the log is not what was written, by comparing."""
    was = [line for file in original for line in file]
    seen = number_lines(changed)
    if not seen:
        return Place("traffic.0", 0)
    # Older files may be gone: it may begin wherever a writer began, or with torn lines that one has told of.  So may
    # unsealed lines stand before the first.
    begins = [index for index, line in enumerate(was) if line == seen[0][1] and is_beginning(line)]
    skipped = 0
    ahead = sum(1 for _ in takewhile(lambda one: is_unsealed(one[1]), seen))
    if 0 < ahead < len(seen) and seen[ahead][1] == was[0]:
        begins, skipped = [0], ahead
    if not begins:
        return seen[0][0]
    rest = was[begins[0] :]
    for (place, line), true in zip(seen[skipped:], rest, strict=False):
        if line != true:
            return place
    if len(seen) - skipped > len(rest):
        return seen[skipped + len(rest)][0]
    return (
        seen[-1][0]
        if len(seen) - skipped < len(rest) and not all(map(is_unsealed, rest[len(seen) - skipped :]))
        else None
    )


def is_unsealed(line: bytes) -> bool:
    """Return whether a line was torn, or never sealed."""
    return b'"seal":"' not in line


def is_beginning(line: bytes) -> bool:
    """Return whether what is left of a log may begin with a line."""
    return b'"event":"log.sealed"' in line or is_unsealed(line)


def is_found(changed: list[list[bytes]], log: Log) -> bool:
    """Return whether the first line that is not what was written is named.

    Of torn lines one behind the other the first is, or what follows them; of those at the end nobody tells.
    """
    found, expected = find_break(changed, log), expect_break(changed, log.files)
    if found == expected:
        return True
    lines = number_lines(changed)
    places = [place for place, _ in lines]
    if expected is None or found is None:
        end = lines[places.index(found or expected) :] if (found or expected) in places else []
        return all(is_unsealed(line) and line.startswith(b"{") for _, line in end)
    first, last = sorted([places.index(found), places.index(expected)])
    return all(is_unsealed(line) for _, line in lines[first:last])


@given(LAYOUTS)
@settings(max_examples=100)
def test_what_was_written_holds(layout):
    """Over files and restarts."""
    log = build_log(layout)

    assert find_break(log.files, log) is None


@given(LAYOUTS, st.data())
@settings(max_examples=EXAMPLES)
def test_a_changed_byte_is_found(layout, data):
    """Whichever it is, also of the seal itself, or of the end of the line."""
    log = build_log(layout)
    changed = [list(file) for file in log.files]
    file = data.draw(st.sampled_from(changed))
    index = data.draw(st.integers(0, len(file) - 1))
    line = bytearray(file[index])
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    file[index] = bytes(line)
    assume(b"\r" not in line)

    assert is_found(changed, log)


@given(LAYOUTS, st.data())
@settings(max_examples=EXAMPLES)
def test_removed_lines_are_found(layout, data):
    """One or several, at the beginning, in the middle, at the end of a file or of all."""
    log = build_log(layout)
    changed = [list(file) for file in log.files]
    file = data.draw(st.sampled_from(changed))
    start = data.draw(st.integers(0, len(file) - 1))
    del file[start : data.draw(st.integers(start + 1, len(file)))]

    assert is_found(changed, log)


@given(LAYOUTS, st.data())
@settings(max_examples=EXAMPLES)
def test_an_inserted_line_is_found(layout, data):
    """A copy of another, one without a seal, one sealed by somebody else, also as the next that is due."""
    log = build_log(layout)
    changed = [list(file) for file in log.files]
    every = [line for file in log.files for line in file]
    forged = b'{"event":"forged"}\n'
    true = data.draw(st.sampled_from(every))
    mark = Mark(data.draw(st.integers(0, len(every))), b"0" * 64)
    other = build_opening(AT, Opening("started", FORGERS.fingerprint, mark if mark.number else None))
    inserted = data.draw(
        st.sampled_from([true, forged, b"\n", FORGERS.seal(forged, mark)[0], FORGERS.seal(other, mark)[0]])
    )
    file = data.draw(st.sampled_from(changed))
    file.insert(data.draw(st.integers(0, len(file))), inserted)

    assert is_found(changed, log)


@given(LAYOUTS, st.data())
@settings(max_examples=EXAMPLES)
def test_swapped_lines_are_found(layout, data):
    """Neighbours or not, of one file or of two."""
    log = build_log(layout)
    places = [(name, index) for name, file in enumerate(log.files) for index in range(len(file))]
    assume(len(places) > 1)
    (file, line), (other_file, other_line) = data.draw(
        st.lists(st.sampled_from(places), min_size=2, max_size=2, unique=True)
    )
    changed = [list(lines) for lines in log.files]
    changed[file][line] = log.files[other_file][other_line]
    changed[other_file][other_line] = log.files[file][line]

    assert is_found(changed, log)


@given(LAYOUTS, st.data())
@settings(max_examples=200)
@example([["a"], ["b"], ["c"]], None)
def test_files_in_another_order_or_left_out_are_found(layout, data):
    """Unless they are the oldest: those are removed by their age."""
    log = build_log(layout)
    order = data.draw(st.permutations(range(len(layout)))) if data is not None else [0, 2, 1]
    kept = order[: data.draw(st.integers(1, len(order)))] if data is not None else order
    changed = [log.files[index] for index in kept]

    assert is_found(changed, log)


@given(LAYOUTS, st.data())
@settings(max_examples=EXAMPLES)
def test_lines_sealed_with_an_old_key_are_found(layout, data):
    """Whoever had one that is out of use by now goes on from any line, in the place of what was written behind it."""
    log = build_log(layout)
    assume(log.turn > 0)
    every = [line for file in log.files for line in file]
    forger = Proxy()
    forger.turn = data.draw(st.integers(0, log.turn - 1))
    kept = data.draw(st.integers(0, len(every)))
    sealed = [line for line in map(parse_sealed, every[:kept]) if line is not None]
    forger.mark = sealed[-1].mark if sealed else START
    if data.draw(st.booleans()):
        forger.begin(data.draw(st.sampled_from(["started", "new_file", "file_gone"])))
    for text in data.draw(st.lists(st.text(max_size=5), min_size=1, max_size=8)):
        forger.write(text)
    after = every[data.draw(st.integers(kept, len(every))) :]

    forged = [*every[:kept], *forger.file, *after]
    assume(forged != every)

    assert find_break([forged], log) is not None
