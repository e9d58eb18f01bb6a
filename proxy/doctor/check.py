"""Checks that wait for one another: run at once as far as they can, each with its limit, told in the order of the plan.

The rule of this file: it knows no network.  A check whose needs are not met is not run, and says which broken link is
the reason; so one broken link is one failure, however much hangs on it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from proxy.doctor.finding import Cause, Verdict, Whose, skip
from proxy.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from proxy.doctor.finding import Finding, Place

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a check came to.

    Attributes:
        findings: One or more, in the order of the links.
        value: For the checks that need this one; None when they cannot go on.
        skew_s: The other side's clock less ours, where it told its own.
        cause: The link that kept it from being run; None when it was run.
    """

    findings: tuple[Finding, ...]
    value: Any = None
    skew_s: float | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One thing to look at.

    Attributes:
        group: The heading that its findings stand under.
        places: The links that it looks at, in order.
        run: Gets the values of ``needs``, then the results of ``after``.
        needs: Checks that must have brought a value.
        after: Checks that must have ended, however.
        limit_s: Seconds that it may take.
    """

    group: str
    places: tuple[Place, ...]
    run: Callable[..., Awaitable[Result]]
    needs: tuple[Check, ...] = ()
    after: tuple[Check, ...] = ()
    limit_s: float = 3.0

    @property
    def name(self) -> str:
        """The first of its links, for logs."""
        return f"{self.places[0].link} {self.places[0].subject}".rstrip()


async def run_checks(
    checks: Sequence[Check], total_s: float, wait: Callable[[Check], None]
) -> AsyncIterator[tuple[Check, Result]]:
    """Run all checks, and yield them in the order given, each as soon as it and all before it have ended.

    Args:
        checks: With all that they wait for; in the order in which people shall read.
        total_s: Seconds for all of them; what is still under way then has failed.
        wait: Is told of the check whose end is waited for, where it is not there yet.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + total_s
    tasks = Tasks()
    running: dict[Check, asyncio.Task[Result]] = {}
    for check in checks:
        running[check] = tasks.start(_run_check(check, running, deadline), name=f"doctor.{check.name}")
    try:
        for check, task in running.items():
            if not task.done():
                wait(check)
            yield check, await task
    finally:
        await tasks.stop()


async def _run_check(check: Check, running: Mapping[Check, asyncio.Task[Result]], deadline: float) -> Result:
    results = [await running[other] for other in (*check.needs, *check.after)]
    needed, after = results[: len(check.needs)], results[len(check.needs) :]
    pairs = zip(check.needs, needed, strict=True)
    unmet = [_find_cause(other, result) for other, result in pairs if result.value is None]
    if unmet:
        cause = next((cause for cause in unmet if cause.is_broken), unmet[0])
        return Result(skip(check.places, cause), cause=cause)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(min(deadline, loop.time() + check.limit_s)):
            return await check.run(*(result.value for result in needed), *after)
    except TimeoutError:
        return _give_up(check)
    except Exception as error:  # the other checks must still be told
        log.exception("check.failed", link=check.name)
        fix = "report it to the proxy's maintainers, with what standard error says"
        words = f"the doctor itself failed here ({type(error).__name__})"
        return Result((check.places[0].failed(words, fix, Whose.MACHINE),))


def _give_up(check: Check) -> Result:
    first, *others = check.places
    fix = "look for what is slow on the way there: DNS, firewall, corporate proxy; then run the doctor again"
    finding = first.failed("no result before its time was up", fix, Whose.NETWORK)
    return Result((finding, *skip(others, _build_cause(check, finding))))


def _find_cause(check: Check, result: Result) -> Cause:
    """Return why a check has no value for others: it was not run, or a link of its own failed or was not tried."""
    if result.cause is not None:
        return result.cause
    for verdict in (Verdict.FAILED, Verdict.SKIPPED):
        for finding in result.findings:
            if finding.verdict is verdict:
                return _build_cause(check, finding)
    return _build_cause(check, result.findings[0])


def _build_cause(check: Check, finding: Finding) -> Cause:
    return Cause(f"{finding.label} ({check.group})", is_broken=finding.verdict is not Verdict.SKIPPED)
