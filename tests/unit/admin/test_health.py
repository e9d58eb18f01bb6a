"""What makes a proxy ready, and what does not."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.admin.health import unready_reasons


def test_proxy_in_good_health_is_ready(healthy_proxy):
    """Listening, not draining and one usable credential: nothing speaks against it."""
    assert unready_reasons(healthy_proxy.status()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listening": False}, "not every listener accepts connections yet"),
        ({"draining": True}, "the proxy is stopping"),
        ({"credentials": ()}, "no credential is usable"),
    ],
)
def test_each_condition_is_needed(healthy_proxy, changes, reason):
    """Each condition by itself makes the proxy unready, and is named."""
    healthy_proxy.change(**changes)

    assert unready_reasons(healthy_proxy.status()) == [reason]


def test_a_log_that_has_requests_refused_makes_the_proxy_unready(healthy_proxy):
    """A balancer sends them elsewhere; a log that fails and refuses none is a matter for an alert alone."""
    log = healthy_proxy.status().log
    healthy_proxy.change(log=dataclasses.replace(log, error="No space left on device"))
    failing = unready_reasons(healthy_proxy.status())
    healthy_proxy.change(log=dataclasses.replace(log, error="No space left on device", refusing=True))

    assert failing == []
    assert unready_reasons(healthy_proxy.status()) == [
        'the traffic log cannot take records, and traffic_log.when_full = "refuse"'
    ]


def test_one_usable_credential_is_enough(healthy_proxy):
    """A credential that has no token does not take out of service the routes of one that has."""
    broken = dataclasses.replace(healthy_proxy.credential, name="edx", usable=False)
    healthy_proxy.change(credentials=(broken, healthy_proxy.credential))

    assert unready_reasons(healthy_proxy.status()) == []


def test_every_reason_is_named(healthy_proxy):
    """Several reasons stand side by side, so that mending one does not uncover the next."""
    healthy_proxy.change(listening=False)
    healthy_proxy.change_credential(usable=False)

    assert len(unready_reasons(healthy_proxy.status())) == 2


def test_drain_closes_listeners_by_itself(healthy_proxy):
    """While the proxy stops, closed listeners are no fault of their own to look for."""
    healthy_proxy.change(listening=False, draining=True)

    assert unready_reasons(healthy_proxy.status()) == ["the proxy is stopping"]


@pytest.mark.parametrize("state", [{"problem": "route[b]: is wrong"}, {"needs_restart": ("admin.bind",)}])
def test_a_file_that_is_not_what_is_used_makes_nobody_unready(healthy_proxy, state):
    """What was used before serves; an alert is for people."""
    config = dataclasses.replace(healthy_proxy.status().config, **state)
    healthy_proxy.change(config=config)

    assert not config.is_current
    assert unready_reasons(healthy_proxy.status()) == []
