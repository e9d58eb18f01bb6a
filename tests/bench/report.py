"""What a race came to: medians, ratios, the table, and the JSON that keeps every round."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Measured
    from bench.process import Memory

_MICROSECONDS = 1e6
_MEBIBYTE = 1024 * 1024
_PACKAGES = ("aiohttp", "uvloop", "orjson")
_REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one proxy.

    Attributes:
        cpu_s: What the proxy took of its core.
    """

    load: Measured
    cpu_s: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.load.requests / self.load.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request."""
        return self.cpu_s / max(1, self.load.requests) * _MICROSECONDS

    @property
    def busy(self) -> float:
        """Share of its core that the proxy used; below 1 the load, the upstream or a neighbour held it up."""
        return self.cpu_s / self.load.seconds


@dataclass(slots=True)
class Row:
    """One proxy at one kind of work; figures are medians over its rounds."""

    work: str
    proxy: str
    rounds: list[Round] = field(default_factory=list)

    def median(self, figure: str) -> float:
        """Return the median of a property of the rounds."""
        return float(median(getattr(each, figure) for each in self.rounds))

    def median_load(self, figure: str) -> float:
        """Return the median of what the load saw."""
        return float(median(getattr(each.load, figure) for each in self.rounds))

    @property
    def errors(self) -> int:
        """How many errors the load saw in all rounds."""
        return sum(each.load.errors for each in self.rounds)


@dataclass(frozen=True, slots=True)
class LogCheck:
    """Whether the traffic log has every exchange of the race.

    Attributes:
        exchanges: Closed, by the proxy's own count.
        records: Found in the log.
        dropped: Counted as lost, since the log could not keep up.
    """

    exchanges: int
    records: int
    dropped: int

    @property
    def is_complete(self) -> bool:
        """Whether each exchange is in the log or counted as dropped."""
        return self.records + self.dropped == self.exchanges


@dataclass(frozen=True, slots=True)
class Floor:
    """A ratio that must hold: ours to another proxy, in requests per second."""

    work: str
    proxy: str
    least: float


@dataclass(slots=True)
class Report:
    """A whole race.

    Attributes:
        own: The name of the proxy that the others are compared with.
        setting: What it ran with, for the JSON and the table's first lines.
    """

    own: str
    setting: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    log: LogCheck | None = None

    def row(self, work: str, proxy: str) -> Row:
        """Return the row of a proxy at a kind of work; a new one at first."""
        for row in self.rows:
            if (row.work, row.proxy) == (work, proxy):
                return row
        row = Row(work, proxy)
        self.rows.append(row)
        return row

    def ratio(self, work: str, proxy: str) -> float:
        """Return how many times as many requests per second as ``proxy`` ours answers."""
        return self.row(work, self.own).median("rate") / self.row(work, proxy).median("rate")

    def cpu_ratio(self, work: str, proxy: str) -> float:
        """Return how many times as much CPU per request as ours ``proxy`` takes."""
        return self.row(work, proxy).median("cpu_us") / self.row(work, self.own).median("cpu_us")

    def find_errors(self) -> list[str]:
        """Say what makes the race worthless."""
        errors = [f"{row.proxy}, {row.work}: {row.errors} errors" for row in self.rows if row.errors]
        if self.log is not None and not self.log.is_complete:
            errors.append(f"the log is not complete: {self.log}")
        return errors

    def build_table(self) -> str:
        """Build the table that people read."""
        heading = f"{'':34}{'requests/s':>12}{'CPU µs':>9}{'core':>7}{'p50 µs':>9}{'p99 µs':>9}{'MiB':>6}"
        return "\n".join([*self._describe_setting(), "", heading, *self._build_rows(), "", *self._describe_log()])

    def build_json(self) -> dict[str, Any]:
        """Build what is kept: every round, and the medians."""
        return {
            **self.setting,
            "rows": [
                {
                    "work": row.work,
                    "proxy": row.proxy,
                    "requests_per_s": row.median("rate"),
                    "cpu_us_per_request": row.median("cpu_us"),
                    "core_share": row.median("busy"),
                    "p50_us": row.median_load("p50_us"),
                    "p99_us": row.median_load("p99_us"),
                    "rounds": [asdict(each) for each in row.rounds],
                }
                for row in self.rows
            ],
            "memory": {name: asdict(memory) for name, memory in self.memory.items()},
            "log": asdict(self.log) if self.log else None,
        }

    def _build_rows(self) -> Iterator[str]:
        for work in dict.fromkeys(row.work for row in self.rows):
            yield work
            for row in self.rows:
                if row.work == work:
                    yield self._build_row(row)

    def _build_row(self, row: Row) -> str:
        name = f"{row.proxy}, {self.setting['logs'][row.proxy]}"
        ratio = "" if row.proxy == self.own else self._describe_ratio(row)
        return (
            f"  {name:32}{row.median('rate'):12,.0f}{row.median('cpu_us'):9.1f}{row.median('busy'):7.0%}"
            f"{row.median_load('p50_us'):9,.0f}{row.median_load('p99_us'):9,.0f}"
            f"{self.memory[row.proxy].resident / _MEBIBYTE:6.0f}{ratio}"
        )

    def _describe_ratio(self, row: Row) -> str:
        return (
            f"   ours: {self.ratio(row.work, row.proxy):.2f} times the requests, "
            f"{1 / self.cpu_ratio(row.work, row.proxy):.2f} of the CPU"
        )

    def _describe_setting(self) -> Iterator[str]:
        setting = self.setting
        yield f"{setting['machine']['processor']}, {setting['machine']['cores']} cores; {setting['cores']}"
        yield f"load: {setting['load']}, {setting['connections']} connections; upstream: {setting['upstream']}"
        yield f"medians of {setting['rounds']} alternating rounds of {setting['seconds']} s"

    def _describe_log(self) -> Iterator[str]:
        if self.log is not None:
            yield (
                f"traffic log: {self.log.records:,} records of {self.log.exchanges:,} exchanges, "
                f"{self.log.dropped:,} dropped and counted"
            )


def describe_machine() -> dict[str, Any]:
    """Describe the machine, and the versions of what took part."""
    return {
        "machine": {"processor": _find_processor(), "cores": os.cpu_count(), "kernel": platform.release()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "commit": _find_commit(),
    }


def _find_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _find_commit() -> str | None:
    """Return the commit checked out, with ``-dirty`` where files were changed; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
