"""A process's memory and descriptors over time: whether they stay what they were."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.soak.plan import AROUND_S

if TYPE_CHECKING:
    from bench.process import Process

EARLY = 0.1
"""Of the run: by then caches are filled; in a short one later, when each fault has been met once."""
MIDDLE = 0.5
"""Of the run: what crowds and large bodies have taken comes back in part only, and rises to a level, by this time."""
WIDTH = 0.05
"""Of the run: what is looked at then and at the end; in a short one longer, one time around all faults."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        at_s: Since the start.
        resident: Memory in bytes.
        descriptors: Open ones.
    """

    at_s: float
    resident: int
    descriptors: int


@dataclass(slots=True)
class Gauge:
    """All looks.

    Attributes:
        samples: In order.
    """

    samples: list[Sample] = field(default_factory=list)

    def look(self, process: Process, at_s: float) -> None:
        """Look once."""
        self.samples.append(Sample(at_s, process.memory().resident, process.count_descriptors()))

    def early(self) -> Sample:
        """Return what was so in the middle of the run, and not before all faults were met."""
        length = self.samples[-1].at_s
        return self._sum_up(max(find_early(length), MIDDLE * length))

    def late(self) -> Sample:
        """Return what was so at the end."""
        length = self.samples[-1].at_s
        return self._sum_up(length - max(WIDTH * length, AROUND_S))

    def _sum_up(self, start_s: float) -> Sample:
        """Return the usual memory, and the fewest descriptors: one large body, or many slow answers, are no leak."""
        end_s = start_s + max(WIDTH * self.samples[-1].at_s, AROUND_S)
        seen = [sample for sample in self.samples if start_s <= sample.at_s <= end_s]
        return Sample(
            at_s=start_s,
            resident=int(statistics.median(sample.resident for sample in seen)),
            descriptors=min(sample.descriptors for sample in seen),
        )


def find_early(length_s: float) -> float:
    """Return the moment, in seconds, at which a run of this length has come into its stride."""
    return max(EARLY * length_s, min(AROUND_S, length_s - 2 * AROUND_S))
