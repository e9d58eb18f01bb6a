"""What people are shown of credentials."""

import dataclasses

import pytest

from proxy.control.table import build_status, tell_span, tell_state


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "-"),
        (-1.0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (61.0, "1 min 1 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h"),
        (11_520.0, "3 h 12 min"),
        (86_400.0, "1 d"),
        (180_000.0, "2 d 2 h"),
    ],
)
def test_spans_are_told_in_two_units(seconds, told):
    """As people say them."""
    assert tell_span(seconds) == told


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "usable"),
        ({"last_error": "no answer"}, "usable, failing"),
        ({"usable": False, "last_error": "no answer"}, "NO TOKEN"),
        ({"usable": False}, "NO TOKEN"),
        ({"grant": "basic"}, "constant"),
        ({"people": 0}, "per person, 0 here"),
        ({"people": 2, "last_error": "no answer"}, "per person, 2 here, failing"),
        ({"people": 2, "last_error": "no answer", "usable": False}, "per person, 2 here, NO TOKEN"),
    ],
)
def test_the_state_is_told_in_words(healthy_proxy, changes, state):
    """What stands in capitals costs requests."""
    assert tell_state(dataclasses.replace(healthy_proxy.credential, **changes)) == state


def test_errors_stand_below_the_table_with_the_next_step(healthy_proxy):
    """One credential a line, and nothing about those that are well."""
    core = healthy_proxy.credential
    edx = dataclasses.replace(
        core,
        name="edx",
        usable=False,
        fingerprint=None,
        expires_in_s=None,
        next_refresh_in_s=0.5,
        skew_s=None,
        last_error="the authorization server refused the credential",
        last_error_ago_s=61.0,
        next_step="Check the credential's id and secret.",
    )

    lines = build_status([core, edx]).splitlines()

    assert lines == [
        "CREDENTIAL  STATE     TOKEN         EXPIRES IN  NEXT CALL IN  CLOCK SKEW",
        "core        usable    0123456789ab  50 min      20 min        +0.2 s",
        "edx         NO TOKEN  -             -           0 s           -",
        "",
        "edx: 1 min 1 s ago: the authorization server refused the credential",
        "  next step: Check the credential's id and secret.",
    ]
