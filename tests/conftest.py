"""What every test has: a clock that stands still, no blocking call on the event loop, and in CI no skip."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest
import structlog
from blockbuster import blockbuster_ctx

from proxy.admin.view import ProxyStatus
from proxy.relay.pool import PoolSnapshot
from proxy.reload import ReloadStatus
from proxy.tokens.store import MemoryStore
from proxy.tokens.token import CredentialStatus
from proxy.traffic.log import LogStats
from proxy.traffic.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes, the machine's load decides.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

NO_SKIP = "RAPIDSOS_PROXY_TESTS_NO_SKIP"
"""Set by .ci/run: a skipped test then fails the run."""


class Clock:
    """A clock that a test moves: call it for the seconds it shows."""

    def __init__(self) -> None:
        """Begin at a time that is not zero, so that a forgotten clock shows."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Return a clock that shows 1000.0 until it is advanced."""
    return Clock()


class HealthyProxy:
    """A proxy in good health, as the admin listener sees one; a test changes what it is about."""

    def __init__(self) -> None:
        """Serve with one usable credential."""
        self.tally = Tally()
        self.credential = CredentialStatus(
            name="core",
            grant="client_credentials",
            token_url="https://as.example/oauth/token",
            usable=True,
            fingerprint="0123456789ab",
            expires_in_s=3000.0,
            next_refresh_in_s=1200.0,
            last_error=None,
            last_error_ago_s=None,
            fetches=1,
            failures=0,
            skew_s=0.25,
        )
        self._status = ProxyStatus(
            version="1.2.3",
            started_at=1.7e9,
            listening=True,
            draining=False,
            in_flight=3,
            turned_away=0,
            client_connections=7,
            credentials=(self.credential,),
            pools=(PoolSnapshot("https://up.example", idle=4, busy=2),),
            log=LogStats(queue_bytes=512, written=90, dropped=1, redactions=5, error=None, refusing=False),
            store=MemoryStore().status(),
            config=ReloadStatus(1.7e9),
        )

    def status(self) -> ProxyStatus:
        """Return the state as last changed."""
        return self._status

    def change(self, **changes: object) -> None:
        """Change the proxy's own state."""
        self._status = dataclasses.replace(self._status, **changes)

    def change_credential(self, **changes: object) -> None:
        """Change the state of the one credential."""
        self.credential = dataclasses.replace(self.credential, **changes)
        self.change(credentials=(self.credential,))


@pytest.fixture
def healthy_proxy() -> HealthyProxy:
    """Return a proxy in good health for the admin listener to tell of."""
    return HealthyProxy()


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Raise BlockingError where our own code, or a library that it called, would block the event loop."""
    with blockbuster_ctx("proxy") as blockers:
        for function in blockers.functions.values():
            # Before it listens, the proxy may read files: nobody waits yet.
            function.can_block_in("proxy/service.py", {"__init__"})
        yield


@pytest.fixture(autouse=True)
def plain_tracebacks() -> Iterator[None]:
    """Have tracebacks as the product has them; structlog's own default reads files for them where rich is installed."""
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer])
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests whose skip fails the run."""
    if _is_skip_forbidden():
        for report in terminalreporter.getreports("skipped"):
            terminalreporter.write_line(f"SKIP FORBIDDEN {report.nodeid}: {NO_SKIP} is set", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that passed only since tests were skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _is_skip_forbidden() and exitstatus == pytest.ExitCode.OK and reporter.getreports("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_skip_forbidden() -> bool:
    return bool(os.environ.get(NO_SKIP))
