"""Checks that wait for one another."""

import asyncio

import structlog

from proxy.doctor.check import Check, Result, run_checks
from proxy.doctor.finding import Place, Verdict, Whose

DNS, TLS, ROUTE = Place("dns"), Place("tls"), Place("route", "ingress")


def holding(place, value="a value"):
    """Return what runs well, and what it was given in ``given``."""

    async def run(*given):
        run.given = given
        return Result((place.ok("fine"),), value=value)

    return run


async def break_dns(*_given):
    """Find the name broken."""
    return Result((DNS.failed("it does not resolve", "mend it", Whose.NETWORK),))


async def hang(*_given):
    """Never end."""
    await asyncio.Event().wait()


async def run_all(checks, total_s=60.0):
    """Return verdict and words of every finding, in order."""
    return [
        (finding.label, finding.verdict, finding.words)
        async for _, result in run_checks(checks, total_s, lambda _: None)
        for finding in result.findings
    ]


async def test_values_are_handed_on():
    """Those of what is needed first, then the results of what was waited for."""
    dns, tls = Check("host", (DNS,), holding(DNS, "addresses")), Check("host", (TLS,), holding(TLS))
    run = holding(ROUTE)
    route = Check("Routes", (ROUTE,), run, needs=(dns,), after=(tls,))

    told = await run_all([dns, tls, route])

    assert [label for label, _, _ in told] == ["dns", "tls", "route ingress"]
    assert run.given == ("addresses", Result((TLS.ok("fine"),), value="a value"))


async def test_what_needs_a_broken_link_is_skipped_and_names_it():
    """However far down it hangs, the cause is the link that broke."""
    dns = Check("host:443", (DNS,), break_dns)
    tls = Check("host:443", (TLS,), holding(TLS), needs=(dns,))
    route = Check("Routes", (ROUTE,), holding(ROUTE), needs=(tls,))

    told = await run_all([dns, tls, route])

    because = "not looked at, because dns (host:443) failed"
    assert told == [
        ("dns", Verdict.FAILED, "it does not resolve"),
        ("tls", Verdict.SKIPPED, because),
        ("route ingress", Verdict.SKIPPED, because),
    ]


async def leave_out(*_given):
    """Do not try the name."""
    return Result((DNS.skipped("it is for others to try"),))


async def test_what_needs_a_link_that_was_not_tried_is_not_ok():
    """It says so; nothing is called broken for it."""
    dns = Check("host:443", (DNS,), leave_out)
    route = Check("Routes", (ROUTE,), holding(ROUTE), needs=(dns,))

    told = await run_all([dns, route])

    assert told[1] == ("route ingress", Verdict.SKIPPED, "not looked at, because dns (host:443) was not tried")


async def test_of_two_causes_the_broken_one_is_named():
    """In whichever order they stand."""
    dns, tls = Check("here", (DNS,), leave_out), Check("there", (DNS,), break_dns)
    route = Check("Routes", (ROUTE,), holding(ROUTE), needs=(dns, tls))

    told = await run_all([dns, tls, route])

    assert told[2] == ("route ingress", Verdict.SKIPPED, "not looked at, because dns (there) failed")


async def test_what_waits_only_for_the_end_runs_after_a_failure():
    """As the clock does, which any answer tells."""
    dns = Check("host", (DNS,), break_dns)
    tls = Check("host", (TLS,), holding(TLS), after=(dns,))

    assert (await run_all([dns, tls]))[1] == ("tls", Verdict.OK, "fine")


async def test_one_that_may_stand_before_what_it_needs():
    """The order of reading is not that of waiting."""
    dns = Check("host", (DNS,), holding(DNS))
    tls = Check("host", (TLS,), holding(TLS), needs=(dns,))

    assert [label for label, _, _ in await run_all([tls, dns])] == ["tls", "dns"]


async def test_a_check_has_its_own_limit():
    """The first of its links has failed then, the others were not reached, and the rest goes on."""
    slow = Check("host", (DNS, TLS), hang, limit_s=0.01)
    route = Check("Routes", (ROUTE,), holding(ROUTE))

    told = await run_all([slow, route])

    assert told == [
        ("dns", Verdict.FAILED, "no result before its time was up"),
        ("tls", Verdict.SKIPPED, "not looked at, because dns (host) failed"),
        ("route ingress", Verdict.OK, "fine"),
    ]


async def test_all_together_have_a_limit():
    """Whatever hangs, the report ends."""
    slow = [Check("host", (place,), hang, limit_s=60.0) for place in (DNS, TLS)]

    told = await run_all(slow, total_s=0.01)

    assert [verdict for _, verdict, _ in told] == [Verdict.FAILED, Verdict.FAILED]


async def test_a_defect_of_the_doctors_costs_the_others_nothing():
    """It is told as such, and logged with its traceback."""

    async def stumble(*_given):
        message = "c4nary"
        raise RuntimeError(message)

    checks = [Check("host", (DNS,), stumble), Check("host", (TLS,), holding(TLS))]
    with structlog.testing.capture_logs() as logged:
        told = await run_all(checks)

    assert told[0] == ("dns", Verdict.FAILED, "the doctor itself failed here (RuntimeError)")
    assert told[1] == ("tls", Verdict.OK, "fine")
    assert [event["event"] for event in logged] == ["check.failed"]


async def test_whoever_stops_listening_stops_the_checks():
    """As Ctrl-C does."""
    ended = asyncio.Event()

    async def wait(*_given):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    checks = [Check("host", (DNS,), holding(DNS)), Check("host", (TLS,), wait, limit_s=60.0)]
    running = run_checks(checks, 60.0, lambda _: None)
    await anext(running)
    await running.aclose()

    assert ended.is_set()


async def test_what_is_waited_for_is_told():
    """So that people see what hangs; what is there already is not waited for."""
    waited = []
    arrived = asyncio.Event()

    async def arrive(*_given):
        await arrived.wait()
        return Result((DNS.ok("fine"),))

    checks = [Check("host", (DNS,), arrive), Check("host", (TLS,), holding(TLS))]
    running = run_checks(checks, 60.0, lambda check: (waited.append(check.name), arrived.set()))
    told = [check.name async for check, _ in running]

    assert told == ["dns", "tls"]
    assert waited == ["dns"]
