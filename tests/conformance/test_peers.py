"""nginx and HAProxy get the same bytes: where they take them otherwise, differences.toml says why we do as we do."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.framing import FRAMING
from conformance.heads import HEADS
from conformance.passage import PASSAGE
from conformance.peers import PEERS, find_version, read_case, read_ours, running_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTED = tomllib.loads((Path(__file__).parent / "differences.toml").read_text())
DIFFERENCES = LISTED["difference"]
UNSTEADY = {(entry["peer"], entry["case"]) for entry in LISTED["unsteady"]}
"""What a peer takes now so, now otherwise, with the same bytes."""
CASES = [case for case in (*FRAMING, *HEADS, *PASSAGE) if not case.group.endswith("-limit")]
"""Limits are each one's configuration."""


def find_entries(peer: str, seen: tuple[str, str, str]) -> Iterator[tuple[int, str]]:
    """Yield each entry, by its number, and its pattern, that names a difference."""
    name, ours, theirs = seen
    for number, entry in enumerate(DIFFERENCES):
        if peer in entry["peers"] and (entry["ours"], entry["theirs"]) == (ours, theirs):
            yield from ((number, pattern) for pattern in entry["cases"] if fnmatchcase(name, pattern))


class Readings:
    """What each peer was seen to do otherwise; each is run once."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder for their files."""
        self._folder = folder
        self._seen: dict[str, list[tuple[str, str, str]]] = {}

    async def find_differences(self, peer: str) -> list[tuple[str, str, str]]:
        """Return each case with what we do and what the peer does; skip where it is not to be had."""
        if peer not in self._seen:
            version = await find_version(peer)
            if version != PEERS[peer]:
                pytest.skip(f"{peer} {PEERS[peer]} is not installed ({version} may differ otherwise)")
            async with running_peer(peer, self._folder / peer) as (port, recorder):
                readings = [(case.id, read_ours(case), await read_case(port, recorder, case)) for case in CASES]
                recorder.failures.clear()  # a peer may forward what cannot be read: that is a difference as well
            self._seen[peer] = [
                reading for reading in readings if reading[1] != reading[2] and (peer, reading[0]) not in UNSTEADY
            ]
        return self._seen[peer]


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Readings:
    """Return what is run once for all tests."""
    return Readings(tmp_path_factory.mktemp("peers"))


@pytest.mark.parametrize("peer", PEERS)
async def test_each_difference_has_its_reason(readings: Readings, peer: str) -> None:
    """A case that a peer takes otherwise is named once, with a reason."""
    seen = await readings.find_differences(peer)

    assert [difference for difference in seen if len(list(find_entries(peer, difference))) != 1] == []


async def test_each_reason_has_its_difference(readings: Readings) -> None:
    """What no peer takes otherwise any more is not listed, nor a peer that takes none of an entry's cases so."""
    found = {
        (peer, *entry)
        for peer in PEERS
        for difference in await readings.find_differences(peer)
        for entry in find_entries(peer, difference)
    }

    listed = {(number, pattern) for number, entry in enumerate(DIFFERENCES) for pattern in entry["cases"]}
    assert listed - {(number, pattern) for _, number, pattern in found} == set()
    named = {(peer, number) for number, entry in enumerate(DIFFERENCES) for peer in entry["peers"]}
    assert named - {(peer, number) for peer, number, _ in found} == set()


def test_each_reason_is_complete() -> None:
    """Entries name peers that are run, cases that exist, and a reason."""

    def is_in_use(pattern: str) -> bool:
        return any(fnmatchcase(case.id, pattern) for case in CASES)

    def is_complete(entry: dict[str, Any]) -> bool:
        return set(entry["peers"]) <= set(PEERS) and all(map(is_in_use, entry["cases"])) and bool(entry["why"])

    assert [entry for entry in DIFFERENCES if not is_complete(entry)] == []
    assert {case for _, case in UNSTEADY} <= {case.id for case in CASES}
