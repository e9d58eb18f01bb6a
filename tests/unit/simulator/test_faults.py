"""Which fault a request meets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.simulator.faults import Fault, Faults
from proxy.simulator.scenarios import SCENARIOS


def test_no_fault_unless_switched_on():
    """With nothing switched on no request meets a fault."""
    assert Faults().take("api", "/v1/alerts") is None


def test_first_that_fits_is_met():
    """Of several that fit, the one added first is met, and one for other paths or calls is passed over."""
    first = Fault(where="token", kind="html")
    elsewhere = Fault(where="api", kind="empty", path="/v1/location")
    wanted = Fault(where="api", kind="status", path="/v1/alerts")
    faults = Faults([first, elsewhere, wanted, Fault(where="api", kind="garbage")])

    assert faults.take("api", "/v1/alerts?limit=1") is wanted
    assert faults.take("token", "/oauth/token") is first


def test_times_are_used_up():
    """A fault with ``times`` is met that often and is then gone; what is left shows."""
    faults = Faults([Fault(where="api", kind="status", times=2)])

    assert faults.take("api", "/a") is not None
    assert [fault.times for fault in faults] == [1]
    assert faults.take("api", "/a") is not None
    assert faults.take("api", "/a") is None
    assert len(faults) == 0


def test_without_times_it_stays_until_cleared():
    """A fault without ``times`` is met for ever, until all are cleared."""
    faults = Faults()
    faults.add(Fault(where="api", kind="status"))

    assert all(faults.take("api", "/a") for _ in range(10))
    faults.clear()
    assert faults.take("api", "/a") is None


def test_unknown_kind_is_refused():
    """A misspelt fault is an error and not a fault that never happens."""
    with pytest.raises(ValidationError, match="kind"):
        Fault(where="api", kind="statuss")


def test_one_scenario_is_calm():
    """The scenario to start from has no fault; every other has some, and says what to watch for."""
    calm = SCENARIOS["calm"]

    assert calm.faults == ()
    assert all(scenario.faults and scenario.summary for scenario in SCENARIOS.values() if scenario is not calm)
