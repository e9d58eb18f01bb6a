"""Who may pass the login, and how guessing is slowed down."""

from __future__ import annotations

from base64 import b64encode

import pytest

from proxy.admin.login import MOST_ADDRESSES, MOST_FAILURES, PAUSE_S, Login, Throttle, choose_password
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
def login(throttle):
    """Return a login for ``admin`` with a password that has a colon, a space and a letter outside ASCII."""
    return Login("admin", Secret("correct horse:ü", "test"), throttle)


def fail(login, times, address=ADDRESS):
    """Try a wrong password ``times`` times; return the last answer's status."""
    for _ in range(times):
        answer = login.refuse(WRONG, address)
    return answer.status


def test_right_credentials_pass(login):
    """The name and the password, in UTF-8 (RFC 7617, section 2.1)."""
    assert login.refuse(RIGHT, ADDRESS) is None


def test_scheme_is_case_insensitive(login):
    """Authentication schemes are compared without case (RFC 9110, section 11.1)."""
    assert login.refuse(RIGHT.replace("Basic", "bASIC"), ADDRESS) is None


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
def test_all_else_is_refused(login, authorization):
    """Nothing but the exact name and password passes, and the answer says how to log in."""
    answer = login.refuse(authorization, ADDRESS)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')


def test_request_without_credentials_is_no_failure(login, throttle):
    """A browser first asks without; only wrong credentials count."""
    for _ in range(MOST_FAILURES + 1):
        assert login.refuse(None, ADDRESS).status == 401

    assert len(throttle) == 0


def test_guessing_is_paused(login):
    """After too many failures even the right password has to wait, and the answer says how long."""
    assert fail(login, MOST_FAILURES) == 401

    answer = login.refuse(RIGHT, ADDRESS)

    assert answer.status == 429
    assert answer.headers["Retry-After"] == str(PAUSE_S)


def test_pause_ends(login, clock):
    """Once the pause is over, the right password passes again."""
    fail(login, MOST_FAILURES)
    clock.advance(PAUSE_S - 1)
    assert login.refuse(RIGHT, ADDRESS).status == 429

    clock.advance(1)

    assert login.refuse(RIGHT, ADDRESS) is None


def test_success_forgets_failures(login):
    """A person who mistyped and then got it right begins anew."""
    fail(login, MOST_FAILURES - 1)
    login.refuse(RIGHT, ADDRESS)

    assert fail(login, MOST_FAILURES - 1) == 401
    assert login.refuse(RIGHT, ADDRESS) is None


def test_other_addresses_are_not_paused(login):
    """One who guesses does not lock the others out."""
    fail(login, MOST_FAILURES)

    assert login.refuse(RIGHT, "10.0.0.2") is None


@pytest.mark.parametrize(
    ("guesses_from", "then_from"),
    [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1%eth1"), ("", "")],
)
def test_addresses_that_one_client_can_choose_are_one(login, guesses_from, then_from):
    """A whole IPv6 network, IPv4 inside IPv6, and clients without an address (a unix socket) are paused as one."""
    fail(login, MOST_FAILURES, guesses_from)

    assert login.refuse(RIGHT, then_from).status == 429


def test_memory_is_bounded(throttle):
    """However many addresses fail, no more than a fixed number is remembered."""
    for number in range(MOST_ADDRESSES + 100):
        throttle.failed(f"10.0.{number // 256}.{number % 256}")

    assert len(throttle) == MOST_ADDRESSES


def test_configured_password_is_used():
    """A configured password wins."""
    secret = Secret("configured", "file x")

    assert choose_password(Admin(password=secret)) is secret


def test_password_made_at_start_is_long_and_new():
    """Without one, each start makes its own, too long to guess."""
    first, second = choose_password(Admin()).reveal(), choose_password(Admin()).reveal()

    assert first != second
    assert len(first) == len(second) == 24
