"""What tunnels are opened with: issued at the start, each day, and when the authority changes."""

import asyncio
import time
from pathlib import Path

import pytest
from harness.running import build_document, until
from harness.tunnels import HOST, OTHER_HOST, found, intercepting, route_hosts
from structlog.testing import capture_logs

from proxy.ca.authority import read_authority
from proxy.config.models import Config
from proxy.config.models import Interception as InterceptionSection
from proxy.errors import ConfigError
from proxy.interception import RENEW_S, Interceptions, Issued
from proxy.threads import in_thread


@pytest.fixture
def section(tmp_path):
    """Return the section of an authority."""
    return found(tmp_path / "ours")


class Wall:
    """A clock on the wall, which can be set."""

    def __init__(self):
        """Show the time."""
        self.ahead_s = 0.0

    def __call__(self):
        """Return seconds since the epoch."""
        return time.time() + self.ahead_s


@pytest.fixture
async def start(section):
    """Return what starts interceptions of one listener; they are stopped afterwards."""
    started = []

    async def start(wall=time.time, **sections):
        routes = route_hosts("http://127.0.0.1:1", HOST, OTHER_HOST)
        document = build_document("http://127.0.0.1:1", "", **{**intercepting(section), "route": routes, **sections})
        document["credential"] = {"core": {"grant": "basic"}}
        interceptions = Interceptions(Config.model_validate(document), wall)
        started.append(interceptions)
        await interceptions.start()
        return interceptions

    yield start
    for interceptions in started:
        await interceptions.stop()


async def test_each_listener_that_intercepts_has_its_hosts(start):
    """And no others; a listener that does not has nothing."""
    listeners = [
        {"name": "cad", "bind": "127.0.0.1:0", "intercept": True},
        {"name": "two", "bind": "127.0.0.1:0", "intercept": True},
        {"name": "plain", "bind": "127.0.0.1:0"},
    ]
    routes = route_hosts("http://127.0.0.1:1", HOST, OTHER_HOST)
    routes[1]["match"]["listener"] = "two"
    interceptions = await start(listener=listeners, route=routes)

    assert sorted(interceptions.find("cad").contexts) == [HOST]
    assert sorted(interceptions.find("two").contexts) == [HOST, OTHER_HOST]
    assert interceptions.find("plain") is None
    assert [status.listener for status in interceptions.statuses()] == ["cad", "two"]


async def test_without_an_authority_there_is_nothing(start):
    """A configuration without the section costs no thread and no file."""
    interceptions = await start(listener=[{"name": "cad", "bind": "127.0.0.1:0"}], interception=None)

    assert interceptions.find("cad") is None
    assert list(interceptions.statuses()) == []


async def test_an_authority_that_cannot_be_used_is_an_error_of_the_start(start, section):
    """By its key in the configuration."""
    await in_thread(lambda: Path(section["ca_key"]).chmod(0o644), name="operator")
    with pytest.raises(ConfigError, match=r"interception\.ca_key: .* can be read by every user"):
        await start()


async def test_certificates_are_renewed_each_day(start):
    """Not before; and when the clock was set back, since they would not be valid yet."""
    wall = Wall()
    interceptions = await start(wall)
    contexts = [interceptions.find("cad").contexts]
    for ahead_s in (RENEW_S - 60, RENEW_S + 60, 0):
        wall.ahead_s = ahead_s
        await interceptions.renew_if_due()
        contexts.append(interceptions.find("cad").contexts)

    assert contexts[1] is contexts[0]
    assert contexts[2] is not contexts[1]
    assert contexts[3] is not contexts[2]
    assert sorted(contexts[3]) == [HOST, OTHER_HOST]


async def test_the_end_of_the_authority_is_told_in_time(start):
    """At the start, and each day; with what to do."""
    wall = Wall()
    wall.ahead_s = 360 * 86_400.0
    with capture_logs() as logs:
        interceptions = await start(wall)
        wall.ahead_s += RENEW_S + 60
        await interceptions.renew_if_due()
    told = [entry for entry in logs if entry["event"] == "authority.expiring"]

    assert len(told) == 2
    assert told[0]["problem"].startswith("expires in ")
    assert "ca init" in told[0]["fix"]


async def test_a_new_authority_is_used_when_its_files_have_stopped_changing(start, section, tmp_path):
    """One of the two alone leaves the old one in service, and is told of with the fix."""
    interceptions = await start()
    before = interceptions.find("cad").contexts
    new = await in_thread(lambda: found(tmp_path / "new"), name="operator")
    with capture_logs() as logs:
        await in_thread(lambda: copy(new["ca_key"], section["ca_key"]), name="operator")
        await until(lambda: any(entry["event"] == "certificate.unusable" for entry in logs))
        half = interceptions.find("cad").contexts
        await in_thread(lambda: copy(new["ca_certificate"], section["ca_certificate"]), name="operator")
        await until(lambda: any(entry["event"] == "authority.renewed" for entry in logs))
    [told] = [entry for entry in logs if entry["event"] == "certificate.unusable"]

    assert half is before
    assert interceptions.find("cad").contexts is not before
    assert (told["key"], told["used"]) == ("interception.ca_key", "the old one")


def copy(source, target):
    """Write over a file, as an operator does."""
    Path(target).write_bytes(Path(source).read_bytes())


async def test_what_was_issued_by_an_old_authority_does_not_come_back(start, tmp_path):
    """A renewal that was under way when the files changed is thrown away."""
    wall = Wall()
    interceptions = await start(wall)
    other = await in_thread(lambda: issue(found(tmp_path / "new")), name="operator")
    wall.ahead_s = RENEW_S + 60
    async with asyncio.TaskGroup() as group:
        group.create_task(interceptions.renew_if_due())
        await asyncio.sleep(0)  # it waits for its thread
        interceptions.take({"interception": other})

    assert interceptions.find("cad").contexts == other.contexts


def issue(section):
    """Have an authority issue what the listener needs."""
    authority = read_authority(InterceptionSection.model_validate(section))
    return Issued(authority, authority.build_contexts({HOST, OTHER_HOST}, time.time()), time.time())
