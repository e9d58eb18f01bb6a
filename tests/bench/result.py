"""What a race came to: every round, medians, ratios, and the JSON and CSV that keep them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Measured

_MICROSECONDS = 1e6
_COLUMNS = ("requests_per_s", "cpu_us_per_request", "core_share", "waited_share", "p50_us", "p99_us")
_CSV_HEADING = ("heat", "proxy", "figure", "median")


class Unknown(Exception):
    """A figure that a race does not give; the text says why."""


class NotRaced(Unknown):
    """One that nobody wanted this time."""


class Missing(Unknown):
    """One that needs a peer that cannot be had."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one proxy.

    Attributes:
        cpu_s: What the proxy took of its core while ``cpu_requests`` were answered.
        cpu_requests: Fewer than the load saw, where opening and closing many connections is left out.
        cpu_over_s: How long that was.
        waited_s: How long it could have run in the round while others had its core.
    """

    load: Measured
    cpu_s: float
    cpu_requests: int
    cpu_over_s: float
    waited_s: float

    @property
    def requests_per_s(self) -> float:
        """Requests per second."""
        return self.load.requests / self.load.seconds

    @property
    def cpu_us_per_request(self) -> float:
        """CPU microseconds per request."""
        return self.cpu_s / max(1, self.cpu_requests) * _MICROSECONDS

    @property
    def core_share(self) -> float:
        """Share of its core that the proxy used; below 1 the load, the upstream or a neighbour held it up."""
        return self.cpu_s / self.cpu_over_s

    @property
    def waited_share(self) -> float:
        """Share of the round in which it waited for its core, which should be its own."""
        return self.waited_s / self.load.seconds

    @property
    def p50_us(self) -> float:
        """Median of the times to the answer."""
        return self.load.p50_us

    @property
    def p99_us(self) -> float:
        """The time within which 99 of 100 were answered."""
        return self.load.p99_us


@dataclass(frozen=True, slots=True)
class Row:
    """One proxy at one kind of work; figures are medians over its rounds."""

    heat: str
    proxy: str
    log: str
    rounds: list[Round] = field(default_factory=list)

    def median(self, figure: str) -> float:
        """Return the median of a property of the rounds."""
        return float(median(getattr(each, figure) for each in self.rounds))

    def medians(self) -> dict[str, float]:
        """Return the median of every property."""
        return {figure: self.median(figure) for figure in _COLUMNS}

    @property
    def errors(self) -> Counter[str]:
        """The errors that the load saw in all rounds, by kind."""
        errors: Counter[str] = Counter()
        for each in self.rounds:
            errors.update(each.load.errors)
        return +errors


@dataclass(frozen=True, slots=True)
class Bulk:
    """One proxy at large bodies one way.

    Attributes:
        direction: ``down`` to the client, ``up`` to the upstream.
        rates: Megabytes (of 1,000,000) per second, of each round.
        waits: Share of each round in which it waited for its core, which should be its own.
        growths: By how many bytes its resident memory rose at most, in each round, and in one before them.
    """

    direction: str
    proxy: str
    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    growths: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one proxy, in bytes.

    Attributes:
        idle: When it has just started.
        clients: How many kept a connection open.
        each: What each of them took; what the kernel keeps for its socket is not among it.
    """

    idle: int
    clients: int
    each: float


@dataclass(frozen=True, slots=True)
class LogCheck:
    """Whether our traffic log has every exchange of a part of the race.

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
        """Whether each exchange is in the log."""
        return self.records == self.exchanges and not self.dropped


@dataclass(slots=True)
class Result:
    """A whole race.

    Attributes:
        own: The name of the proxy that the others are compared with.
        setting: What it ran with, for the JSON and the table's first lines.
        absent: Peers that cannot be had, and what would bring each.
        left_out: Peers that nobody wants this time.
        full_heats: The heats that every peer takes part in.
        unbuilt: Parts that cannot be raced, and why.
        failures: Parts that were not raced to their end, and why.
        logs: Our log, by the part of the race.
    """

    own: str
    setting: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    bulk: list[Bulk] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    logs: dict[str, LogCheck] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    full_heats: list[str] = field(default_factory=list)
    unbuilt: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, heat: str, proxy: str, log: str, measured: Round) -> None:
        """Add a round to its row, a new one at first."""
        for row in self.rows:
            if (row.heat, row.proxy) == (heat, proxy):
                row.rounds.append(measured)
                return
        self.rows.append(Row(heat, proxy, log, [measured]))

    def find(self, heat: str, proxy: str | None = None) -> Row:
        """Return the row of a proxy, ours if None.

        Raises:
            Unknown: If there is none.
        """
        wanted = proxy or self.own
        for row in self.rows:
            if (row.heat, row.proxy) == (heat, wanted):
                return row
        raise self._explain(wanted, is_raced=any(row.heat == heat for row in self.rows))

    def find_bulk(self, direction: str, proxy: str | None = None) -> Bulk:
        """Return large bodies of a proxy, ours if None.

        Raises:
            Unknown: If there are none.
        """
        wanted = proxy or self.own
        for bulk in self.bulk:
            if (bulk.direction, bulk.proxy) == (direction, wanted):
                return bulk
        raise self._explain(wanted, is_raced=any(bulk.direction == direction for bulk in self.bulk))

    def find_memory(self) -> Memory:
        """Return the memory of ours.

        Raises:
            Unknown: If it was not measured.
        """
        if self.own not in self.memory:
            raise self._explain(self.own, is_raced=bool(self.memory))
        return self.memory[self.own]

    def ratio(self, heat: str, proxy: str) -> float:
        """Return how many times as many requests per second as ``proxy`` ours answers.

        Raises:
            Unknown: If one of them did not race.
        """
        theirs = self.find(heat, proxy).median("requests_per_s")
        if not theirs:
            message = f"{proxy} answered nothing"
            raise Unknown(message)
        return self.find(heat).median("requests_per_s") / theirs

    def find_errors(self) -> list[str]:
        """Say what makes the race worthless."""
        errors = [f"{part}: {why}" for part, why in self.failures.items()]
        errors += [f"{row.proxy}, {row.heat}: errors {dict(row.errors)}" for row in self.rows if row.errors]
        errors += [f"{part}: the log is not complete: {log}" for part, log in self.logs.items() if not log.is_complete]
        return errors

    def build_json(self) -> dict[str, Any]:
        """Build what is kept: every round, and the medians."""
        return {
            **self.setting,
            "absent": self.absent,
            "unbuilt": self.unbuilt,
            "failures": self.failures,
            "rows": [
                {
                    "heat": row.heat,
                    "proxy": row.proxy,
                    "log": row.log,
                    **row.medians(),
                    "rounds": [asdict(each) for each in row.rounds],
                }
                for row in self.rows
            ],
            "bulk": [asdict(bulk) for bulk in self.bulk],
            "memory": {name: asdict(memory) for name, memory in self.memory.items()},
            "logs": {part: asdict(log) for part, log in self.logs.items()},
        }

    def build_csv(self) -> str:
        """Build the medians as a table with one figure a line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV_HEADING)
        writer.writerows(self._list_figures())
        return text.getvalue()

    def _list_figures(self) -> Iterator[tuple[str, str, str, float]]:
        for row in self.rows:
            for figure, value in row.medians().items():
                yield row.heat, row.proxy, figure, round(value, 3)
        for bulk in self.bulk:
            yield f"bodies {bulk.direction}", bulk.proxy, "megabytes_per_s", round(median(bulk.rates), 1)
            yield f"bodies {bulk.direction}", bulk.proxy, "growth_bytes", max(bulk.growths)
        for name, memory in self.memory.items():
            yield "memory", name, "idle_bytes", memory.idle
            yield f"memory, {memory.clients} clients", name, "bytes_per_client", round(memory.each, 1)

    def _explain(self, proxy: str, *, is_raced: bool) -> Unknown:
        if is_raced and proxy in self.absent:
            return Missing(f"{proxy} is missing: {self.absent[proxy]}")
        return NotRaced(f"{proxy} was left out" if proxy in self.left_out else "not raced")
