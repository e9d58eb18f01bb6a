"""All of the data path that hangs on the configuration, built as a whole and put to use as a whole.

The rule of this file: data only.  An exchange takes what it needs out of the plan when it is let in, and keeps that to
its end, whatever plan comes after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config.models import Config
    from proxy.relay.dial import Destination, Dialer
    from proxy.relay.gate import Gate
    from proxy.relay.pool import Pool
    from proxy.relay.turn import Turn


@dataclass(frozen=True, slots=True)
class Ground:
    """What outlives every plan.

    Attributes:
        turn: The present turn of the event loop.
        pseudonym: Our name in Via.
        is_log_full: Whether to refuse exchanges because of the traffic log.
    """

    turn: Turn
    pseudonym: str
    is_log_full: Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one configuration makes of the data path.

    Attributes:
        config: It.
        gate: Who may send what, and where it goes.
        dialer: Opens connections to upstreams.
        pools: Of connections, by where they lead; plans share those of the destinations that they share.
    """

    config: Config
    gate: Gate
    dialer: Dialer
    pools: Mapping[Destination, Pool]
