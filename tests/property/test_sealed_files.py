"""A sealed log as real files, whatever happens to an honest proxy: it is never called tampered with.

What happens: lines, kills within a line, starts, a new key, steps of the clock, rotations, and programs that move the
file away, also while the proxy is down.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.command import verify
from proxy.audit.progress import Progress
from proxy.traffic.newest import find_in_order
from proxy.traffic.seal import SealKey, find_last_seal
from proxy.traffic.sealed import SealedSink
from proxy.traffic.sink import FileSink, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS = [bytes([number]) * 32 for number in range(1, 5)]
DAY_S = 86_400.0
FILE_BYTES = 900
BEGIN = 1_795_507_800.0
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 3)),
        st.tuples(st.just("kill"), st.integers(0, 400)),
        st.tuples(st.sampled_from(["start", "stop", "change", "move", "tick"]), st.just(0)),
        st.tuples(st.just("clock"), st.sampled_from([-400 * DAY_S, -DAY_S, -3600.0, 3600.0, DAY_S, 5000 * DAY_S])),
    ),
    max_size=25,
)
"""What is done, and how much of it: lines, bytes until the kill, seconds that the clock is stepped by."""
STAYING = DEEDS.map(lambda deeds: [deed for deed in deeds * 3 if deed[0] != "move"])
"""For longer, and no other program moves files away: what it has moved is its own to keep, or to remove."""


class Killed(Exception):
    """The process is gone."""


class Mortal:
    """A sink whose process is killed after so many bytes, if it is told to be."""

    def __init__(self, sink: FileSink) -> None:
        """Live on."""
        self._sink = sink
        self.left: int | None = None

    def __getattr__(self, name: str) -> object:
        """Be the sink in all else."""
        return getattr(self._sink, name)

    def write(self, data: memoryview) -> int:
        """Write, or a part of it."""
        if self.left is None:
            return self._sink.write(data)
        if self.left:
            self._sink.write(data[: self.left])
        raise Killed


class Site:
    """A proxy's log, its directory, and the time."""

    def __init__(self, directory: Path, *, retain_s: float = 1e9, retain_bytes: int | None = None) -> None:
        """Begin with nothing."""
        self.retain_s = retain_s
        self.retain_bytes = retain_bytes
        self.path = directory / "traffic.jsonl"
        self.wall = BEGIN
        self.now = 0.0
        self.turn = 0
        self.count = 0
        self.moved: list[Path] = []
        self.mortal: Mortal | None = None
        self.sink: SealedSink | None = None

    def do(self, deed: str, amount: float) -> None:
        """Do what there is to do."""
        match deed:
            case "write":
                self.write(int(amount))
            case "kill":
                self.kill(int(amount))
            case "clock":
                self.wall += amount
            case "tick":
                self.now += 2
                self.wall += 2
            case "move":
                self.move()
            case "change":
                self.stop()
                self.turn = min(self.turn + 1, len(KEYS) - 1)
                self.start()
            case "stop":
                self.stop()
            case _:
                self.start()

    def start(self) -> None:
        """Start, unless it runs."""
        if self.sink is None:
            limits = Limits(FILE_BYTES, DAY_S, self.retain_s, self.retain_bytes)
            inner = FileSink(self.path, limits, find_aside=find_in_order, wall=lambda: self.wall)
            self.mortal = Mortal(inner)
            self.sink = SealedSink(
                self.mortal,  # type: ignore[arg-type] (a sink in all but name)
                self.path,
                SealKey(KEYS[self.turn]),
                wall=lambda: self.wall,
                clock=lambda: self.now,
            )
            self.sink.open()

    def stop(self) -> None:
        """Stop as it should, if it runs."""
        if self.sink is not None:
            self.sink.close()
            self.sink = None

    def kill(self, left: int) -> None:
        """Kill it while it writes."""
        self.start()
        assert self.mortal is not None
        self.mortal.left = left
        try:
            self.write(3)
        except Killed:
            self.mortal._sink.close()
            self.sink = None

    def move(self) -> None:
        """Move the file away, as a program does that names files by a number.

        One that has no sealed line says nowhere where it belongs; whoever verifies would have to know.
        """
        if self.path.exists() and find_last_seal(self.path.read_bytes()) is not None:
            self.moved.append(self.path.with_name(f"moved.{len(self.moved):03}"))
            self.path.rename(self.moved[-1])

    def write(self, lines: int) -> None:
        """Write a batch of lines as the writer does."""
        self.start()
        assert self.sink is not None
        batch = b""
        for _ in range(lines):
            self.count += 1
            batch += b'{"ts":"2026-11-24T09:05:35.914Z","seq":%d,"event":"exchange.closed"}\n' % self.count
        done = 0
        while done < len(batch):
            if self.sink.prepare(len(batch) - done):
                done = batch.rfind(b"\n", 0, done) + 1
            done += self.sink.write(memoryview(batch)[done:])


def verify_all(site: Site, keys: Sequence[Path]) -> tuple[int, str]:
    """Verify all files of a site as the command does."""
    aside = sorted(site.path.parent.glob("traffic.jsonl.*Z"))
    answers: list[str] = []
    code = verify([*site.moved, *aside, site.path], None, keys, {}, answers.append, Progress(None))
    return code, "\n".join(answers)


@contextmanager
def building_site(**limits: Any) -> Iterator[tuple[Site, list[Path]]]:
    """Build a site in a directory of its own, with the files of all keys, for the length of a block."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = Site(directory, **limits)
        keys = []
        for number, key in enumerate(KEYS):
            keys.append(directory / f"key.{number}")
            keys[-1].write_text(key.hex())
            keys[-1].chmod(0o600)
        stack.callback(site.stop)
        # Where a proxy is killed within its very first line, and the file moved, nothing can tell that there was one.
        site.write(1)
        yield site, keys


@given(DEEDS)
@settings(max_examples=150, deadline=None)
def test_an_honest_log_is_never_called_tampered_with(deeds: list[tuple[str, float]]) -> None:
    """Once the proxy runs again, every line holds; nothing is lost but what a kill has kept from being written."""
    with building_site() as (site, keys):
        for deed, amount in deeds:
            site.do(deed, amount)
        site.write(1)
        site.stop()
        code, told = verify_all(site, keys[: site.turn + 1])

    assert code == 0, told


@given(STAYING, st.integers(2, 5), st.sampled_from([DAY_S, 30 * DAY_S, 1e9]))
@settings(max_examples=150, deadline=None)
def test_a_log_whose_old_files_are_removed_holds(deeds: list[tuple[str, float]], files: int, retain_s: float) -> None:
    """By age and by size, whatever the clock did: it holds from where it now begins, and keeps to its size."""
    most = files * FILE_BYTES
    with building_site(retain_s=retain_s, retain_bytes=most) as (site, keys):
        for deed, amount in [*deeds, ("write", 1)]:
            site.do(deed, amount)
            sizes = [file.stat().st_size for file in site.path.parent.glob("traffic.jsonl.*")]
            assert len(sizes) <= 1 or sum(sizes) + FILE_BYTES <= most
        site.stop()
        code, told = verify_all(site, keys[: site.turn + 1])

    assert code == 0, told
