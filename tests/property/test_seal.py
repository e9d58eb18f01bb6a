"""A sealed log over several files: whatever is done to its lines, the first that is not what was written is named.

The oracle knows no hash: it compares with the log as it was, line by line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proxy.traffic.seal import START, Mark, Opening, SealKey, build_opening
from proxy.traffic.verify import Broken, Place, Verifier

KEY = SealKey(bytes(range(32)))
FORGERS = SealKey(bytes(32))
AT = "2026-11-24T09:05:35.914Z"
RESTART = "restart"
LAYOUTS = st.lists(st.lists(st.one_of(st.just(RESTART), st.text(max_size=5)), max_size=5), min_size=1, max_size=4)
"""For each file what is written to it: the texts of lines, and restarts of the proxy."""


@dataclass
class Log:
    """Files of lines, and the newest mark."""

    files: list[list[bytes]]
    newest: Mark


def build_log(layout: list[list[str]], key: SealKey = KEY) -> Log:
    """Write a log as the proxy does."""
    mark = START
    files: list[list[bytes]] = []
    for number, texts in enumerate(layout):
        file: list[bytes] = []
        for text in ["new_file" if number else "started", *texts]:
            record = json.dumps({"ts": AT, "seq": 1, "event": "exchange.closed", "text": text}).encode() + b"\n"
            if text in {"new_file", "started", RESTART}:
                previous = None if mark == START else mark
                record = build_opening(AT, Opening(text.replace(RESTART, "started"), key.fingerprint, previous))
            line, mark = key.seal(record, mark)
            file.append(line)
        files.append(file)
    return Log(files, mark)


def number_lines(files: list[list[bytes]]) -> list[tuple[Place, bytes]]:
    """Return every line with its place, as they are read from files."""
    return [
        (Place(f"traffic.{name}", number), line)
        for name, file in enumerate(files)
        for number, line in enumerate(b"".join(file).splitlines(keepends=True), 1)
    ]


def find_break(files: list[list[bytes]], newest: Mark) -> Place | None:
    """Return where the log is broken; None if it holds."""
    verifier = Verifier([KEY], "traffic.0")
    try:
        for place, line in number_lines(files):
            verifier.take(line, place)
        verifier.end(newest)
    except Broken as broken:
        return broken.place
    return None


def expect_break(changed: list[list[bytes]], original: list[list[bytes]]) -> Place | None:
    """Return the first place at which the log is not what was written, by comparing."""
    was = [line for file in original for line in file]
    seen = number_lines(changed)
    if not seen:
        return Place("traffic.0", 0)
    # Older files may be gone: it may begin wherever a writer began.  So may unsealed lines stand before the first.
    begins = [index for index, line in enumerate(was) if line == seen[0][1] and b'"event":"log.sealed"' in line]
    skipped = 0
    if not begins and b'"seal":"' not in seen[0][1] and len(seen) > 1 and seen[1][1] == was[0]:
        begins, skipped = [0], 1
    if not begins:
        return seen[0][0]
    rest = was[begins[0] :]
    for (place, line), true in zip(seen[skipped:], rest, strict=False):
        if line != true:
            return place
    if len(seen) - skipped > len(rest):
        return seen[skipped + len(rest)][0]
    return seen[-1][0] if len(seen) - skipped < len(rest) else None


@given(LAYOUTS)
@settings(max_examples=100)
def test_what_was_written_holds(layout):
    """Over files and restarts."""
    log = build_log(layout)

    assert find_break(log.files, log.newest) is None


@given(LAYOUTS, st.data())
@settings(max_examples=400)
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

    assert find_break(changed, log.newest) == expect_break(changed, log.files) is not None


@given(LAYOUTS, st.data())
@settings(max_examples=400)
def test_removed_lines_are_found(layout, data):
    """One or several, at the beginning, in the middle, at the end of a file or of all."""
    log = build_log(layout)
    changed = [list(file) for file in log.files]
    file = data.draw(st.sampled_from(changed))
    start = data.draw(st.integers(0, len(file) - 1))
    del file[start : data.draw(st.integers(start + 1, len(file)))]

    assert find_break(changed, log.newest) == expect_break(changed, log.files)


@given(LAYOUTS, st.data())
@settings(max_examples=400)
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

    assert find_break(changed, log.newest) == expect_break(changed, log.files)


@given(LAYOUTS, st.data())
@settings(max_examples=400)
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

    assert find_break(changed, log.newest) == expect_break(changed, log.files) is not None


@given(LAYOUTS, st.data())
@settings(max_examples=200)
@example([["a"], ["b"], ["c"]], None)
def test_files_in_another_order_or_left_out_are_found(layout, data):
    """Unless they are the oldest: those are removed by their age."""
    log = build_log(layout)
    order = data.draw(st.permutations(range(len(layout)))) if data is not None else [0, 2, 1]
    kept = order[: data.draw(st.integers(1, len(order)))] if data is not None else order
    changed = [log.files[index] for index in kept]

    assert find_break(changed, log.newest) == expect_break(changed, log.files)
