"""How many descriptors there may be, and that the first three are taken."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.config.load import load_config
from proxy.descriptors import MARGIN, allow_descriptors, count_descriptors

PROFILE = {
    "RAPIDSOS_ENVIRONMENT": "sandbox",
    "RAPIDSOS_CLIENT_ID": "an-id",
    "RAPIDSOS_CLIENT_SECRET": "c4nary-secret",
}
HOLD = "from proxy.descriptors import hold_standard_streams; hold_standard_streams()\n"


@pytest.fixture
def soft_limit():
    """Return a function that gives the soft limit, which is 300 at first and put back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    yield lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def hard_limit():
    """Return the hard limit, where there is one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this machine has no hard limit of open files")
    return hard


def run_python(code, streams):
    """Run code in a process of its own, some of its streams closed by the shell; return its exit code."""
    command = ["sh", "-c", f'exec "$0" -c "$1" {streams}', sys.executable, code]
    return subprocess.run(command, timeout=30, check=False, cwd=Path(__file__).parents[2]).returncode


def test_everything_that_can_be_open_at_once_is_counted():
    """Clients, connections to each upstream for each exchange, and a margin."""
    config = load_config(None, PROFILE)

    assert count_descriptors(config) == 10_000 + 2 * 1_000 + MARGIN


def test_the_soft_limit_is_raised_to_what_is_needed(soft_limit):
    """Shells and service managers give 1024 of what they would allow."""
    with capture_logs() as events:
        allow_descriptors(400)

    assert soft_limit() == 400
    assert events == []


def test_a_limit_that_is_enough_is_left_alone(soft_limit):
    """Nothing is lowered."""
    allow_descriptors(200)

    assert soft_limit() == 300


def test_too_low_a_hard_limit_is_told_with_the_fix(soft_limit, hard_limit):
    """It is used to its end all the same."""
    with capture_logs() as events:
        allow_descriptors(hard_limit + 1)

    (event,) = events
    assert soft_limit() == hard_limit
    assert (event["event"], event["log_level"]) == ("descriptors.limited", "warning")
    assert (event["limit"], event["needed"]) == (hard_limit, hard_limit + 1)
    assert f"LimitNOFILE={hard_limit + 1}" in event["fix"]
    assert f"--ulimit nofile={hard_limit + 1}" in event["fix"]


def test_a_platform_without_such_limits_is_left_alone(monkeypatch):
    """Windows has no module ``resource``."""
    monkeypatch.setitem(sys.modules, "resource", None)

    with capture_logs() as events:
        allow_descriptors(10**9)

    assert events == []


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_socket_gets_the_number_of_a_standard_stream(streams):
    """What is written to standard error or output would go to whoever is at the other end."""
    code = HOLD + "import os, socket, sys; sys.exit(0 if socket.socket().fileno() > 2 else 1)"

    assert run_python(code, streams) == 0


def test_standard_error_can_be_written_to_where_it_was_closed():
    """Print takes None for standard output, which is the traffic log's."""
    code = HOLD + "import sys; sys.stderr.write('x'); sys.stderr.flush(); sys.exit(3)"

    assert run_python(code, "2>&-") == 3


def test_streams_that_are_open_are_left_alone():
    """They are the operator's."""
    read, write = os.pipe()
    try:
        code = HOLD + "import json; print(json.dumps('heard'), flush=True)"
        subprocess.run([sys.executable, "-c", code], stdout=write, timeout=30, check=True)
        heard = os.read(read, 100)
    finally:
        os.close(read)
        os.close(write)

    assert json.loads(heard) == "heard"
