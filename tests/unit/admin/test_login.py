"""Who may pass the login, and how guessing is slowed down."""

from __future__ import annotations

from base64 import b64encode

import pytest
from structlog.testing import capture_logs

from proxy.admin.login import FORGET_S, FREE_FAILURES, LONGEST_DELAY_S, Login, Throttle, choose_password
from proxy.config.models import Admin
from proxy.config.secret import Secret

ADDRESS = "10.0.0.1"


def basic(credentials):
    """Build the Authorization value for ``name:password``."""
    return f"Basic {b64encode(credentials.encode()).decode()}"


RIGHT = basic("admin:correct horse:ü")
WRONG = basic("admin:wrong")


@pytest.fixture
def throttle(clock):
    """Return a throttle on the test's clock."""
    return Throttle(clock)


@pytest.fixture
def waits():
    """Return the list of how long each attempt has waited, in seconds."""
    return []


@pytest.fixture
def login(throttle, clock, waits):
    """Return a login for ``admin`` with a password that has a colon, a space and a letter outside ASCII."""

    async def sleep(seconds):
        waits.append(seconds)
        clock.advance(seconds)

    return Login("admin", Secret("correct horse:ü", "test"), throttle, sleep)


async def fail(login, times):
    """Try a wrong password ``times`` times; return the last answer's status."""
    for _ in range(times):
        answer = await login.refuse(WRONG, ADDRESS)
    return answer.status


async def test_right_credentials_pass(login, waits):
    """The name and the password, in UTF-8 (RFC 7617, section 2.1), at once."""
    assert await login.refuse(RIGHT, ADDRESS) is None
    assert waits == []


async def test_scheme_is_case_insensitive(login):
    """Authentication schemes are compared without case (RFC 9110, section 11.1)."""
    assert await login.refuse(RIGHT.replace("Basic", "bASIC"), ADDRESS) is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YWRtaW4",
        "Bearer abc",
        RIGHT.removeprefix("Basic "),
        basic("admin"),
        basic("admin:"),
        basic("admin:correct horse"),
        basic("Admin:correct horse:ü"),
        basic(":correct horse:ü"),
        "Basic ÿ",
    ],
)
async def test_all_else_is_refused(login, authorization):
    """Nothing but the exact name and password passes, and the answer says how to log in."""
    answer = await login.refuse(authorization, ADDRESS)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')


async def test_request_without_credentials_is_no_failure(login, throttle):
    """A browser first asks without; only wrong credentials count."""
    for _ in range(FREE_FAILURES + 1):
        assert (await login.refuse(None, ADDRESS)).status == 401

    assert throttle.failures == 0


async def test_a_person_who_mistypes_does_not_wait(login, waits):
    """A few failures cost nothing."""
    await fail(login, FREE_FAILURES)

    assert waits == []


async def test_guessing_is_slowed_down_ever_more(login, waits):
    """Each further attempt waits twice as long as the one before, up to a limit."""
    await fail(login, FREE_FAILURES + 7)

    assert waits == [0.125, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


async def test_nobody_is_locked_out(login, waits):
    """However many guesses there were, from wherever, the right password passes within the longest delay."""
    await fail(login, 1000)
    waits.clear()

    assert await login.refuse(RIGHT, ADDRESS) is None
    assert waits == [LONGEST_DELAY_S]


async def test_the_wait_does_not_tell_right_from_wrong(login, waits):
    """Otherwise whoever guesses would not have to wait for the answer."""
    await fail(login, 100)
    waits.clear()
    await login.refuse(RIGHT, ADDRESS)
    await login.refuse(WRONG, ADDRESS)

    assert waits == [LONGEST_DELAY_S, LONGEST_DELAY_S]


async def test_attempts_side_by_side_are_counted_before_they_wait(throttle):
    """A hundred guesses at once are not a hundred first ones."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) < 100:
            await login.refuse(WRONG, ADDRESS)

    login = Login("admin", Secret("correct horse", "test"), throttle, sleep)
    await fail(login, FREE_FAILURES + 1)

    assert len(waits) == 100
    assert waits[-1] == LONGEST_DELAY_S


async def test_another_address_waits_as_well(login, waits):
    """On loopback an address proves nothing: there are 16 million to choose from."""
    await fail(login, 100)
    waits.clear()
    await login.refuse(WRONG, "127.1.2.3")

    assert waits == [LONGEST_DELAY_S]


async def test_a_success_does_not_free_whoever_guesses_meanwhile(login, waits):
    """A page that asks every second would otherwise do so."""
    await fail(login, 100)
    await login.refuse(RIGHT, ADDRESS)
    waits.clear()
    await login.refuse(WRONG, ADDRESS)

    assert waits == [LONGEST_DELAY_S]


async def test_failures_are_forgotten(login, clock, waits):
    """After a minute without one, nobody waits."""
    await fail(login, 100)
    waits.clear()
    clock.advance(FORGET_S)
    await login.refuse(RIGHT, ADDRESS)

    assert waits == []


async def test_failures_are_logged_ever_more_rarely(login):
    """Each of the first, then those that double the count: hours of guessing do not fill the disk."""
    with capture_logs() as events:
        await fail(login, 1000)

    assert [event["failures"] for event in events] == [1, 2, 3, 4, 5, 8, 16, 32, 64, 128, 256, 512]
    assert {(event["event"], event["address"]) for event in events} == {("login.failed", ADDRESS)}


def test_configured_password_is_used():
    """A configured password wins."""
    secret = Secret("configured", "file x")

    assert choose_password(Admin(password=secret)) is secret


def test_password_made_at_start_is_long_and_new():
    """Without one, each start makes its own, too long to guess."""
    first, second = choose_password(Admin()).reveal(), choose_password(Admin()).reveal()

    assert first != second
    assert len(first) == len(second) == 24
