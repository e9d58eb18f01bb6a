"""How often one client may ask."""

import pytest

from proxy.config.models import Limits
from proxy.errors import ClientLimit
from proxy.relay.rate import MOST_CLIENTS, ClientRate, build_client_rate

CAD = "10.0.0.1"


def ask(rate, times, client=CAD):
    """Return how many of so many requests at once get through."""
    through = 0
    for _ in range(times):
        try:
            rate.check(client)
        except ClientLimit:
            break
        through += 1
    return through


def test_no_limit_is_the_default(clock):
    """And costs nothing."""
    assert build_client_rate(Limits(), clock) is None


def test_a_burst_goes_through_and_what_is_beyond_it_is_told_when_to_come_back(clock):
    """Then as many as the seconds have brought."""
    rate = build_client_rate(Limits(client_rate=0.5, client_burst=4), clock)
    at_once = ask(rate, 10)
    with pytest.raises(ClientLimit, match=r"more than 0\.5 requests a second, and more than 4 at once; ") as caught:
        rate.check(CAD)
    clock.advance(4.0)

    assert at_once == 4
    assert caught.value.retry_after_s == 2
    assert ask(rate, 10) == 2


def test_one_client_has_its_own_burst(clock):
    """What another one does is no concern of it; addresses of one IPv6 network are one client."""
    rate = ClientRate(1.0, 2, clock)

    assert ask(rate, 5) == 2
    assert ask(rate, 5, "10.0.0.2") == 2
    assert ask(rate, 1, "2001:db8::1") + ask(rate, 5, "2001:db8::ffff") == 2
    assert ask(rate, 5, "::ffff:10.0.0.1") == 0


def test_nothing_is_kept_of_those_who_ask_seldom(clock):
    """Nor of more clients than there is room for."""
    rate = ClientRate(1000.0, 5, clock)
    for number in range(MOST_CLIENTS + 100):
        rate.check(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    many = repr(rate)
    clock.advance(1.0)
    rate.check(CAD)
    rate._full_at.expire()

    assert many == f"<ClientRate clients={MOST_CLIENTS}>"
    assert repr(rate) == "<ClientRate clients=1>"
