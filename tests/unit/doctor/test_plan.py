"""What is looked at, under which heading."""

import pytest

from proxy.config.models import Config
from proxy.config.secret import Secret
from proxy.doctor.instruments import Instruments, Limits
from proxy.doctor.plan import build_checks

CORE, EDX = "https://api-sandbox.rapidsos.com", "https://edx-sandbox.rapidsos.com"


def credential(host):
    """Return a credential whose tokens come from a host."""
    return {
        "grant": "client_credentials",
        "token_url": f"{host}/oauth/token",
        "client_id": Secret("an-id", "test"),
        "client_secret": Secret("a-secret", "test"),
    }


@pytest.fixture
def plan():
    """Return what lists the checks of a configuration, by heading."""

    async def plan(routes, **sections):
        config = Config.model_validate(
            {
                "listener": [{"name": "cad", "bind": "127.0.0.1:8080"}],
                "credential": {"core": credential(CORE), "edx": credential(EDX)},
                "route": [{"name": f"r{number}", **route} for number, route in enumerate(routes)],
                **sections,
            }
        )
        instruments = Instruments(config, Limits())
        headings = {}
        for check in build_checks(config, instruments):
            headings.setdefault(check.group, []).extend(
                f"{place.link} {place.subject}".rstrip() for place in check.places
            )
        await instruments.close()
        return headings

    return plan


async def test_a_certificate_is_looked_at(plan):
    """Where a listener has one."""
    listener = {"name": "cad", "bind": "127.0.0.1:8443", "tls": {"certificate": "c.pem", "key": "k.pem"}}

    assert (await plan([], listener=[listener]))["This machine"] == [
        "listener cad",
        "listener admin",
        "certificate cad",
    ]


async def test_the_local_authority_is_looked_at(plan):
    """Where a listener intercepts."""
    section = {"ca_certificate": "ca.crt", "ca_key": "ca.key"}

    assert (await plan([], interception=section))["This machine"][-1] == "certificate interception"


async def test_each_host_is_looked_at_once(plan):
    """However many routes lead there; tokens and questions stand with their host, the clock last."""
    core, edx = {"upstream": CORE, "credential": "core"}, {"upstream": EDX, "credential": "edx"}

    headings = await plan([core, core, edx])

    way, call = ["dns", "tcp", "tls"], ["endpoint", "grant", "token", "upstream"]
    assert headings == {
        "Configuration": ["configuration", "secret core", "secret edx"],
        "This machine": ["listener cad", "listener admin"],
        "api-sandbox.rapidsos.com:443": [*way, *(f"{link} core" for link in call), "clock"],
        "edx-sandbox.rapidsos.com:443": [*way, *(f"{link} edx" for link in call), "clock"],
        "Routes": ["route r0", "route r1", "route r2"],
    }


async def test_each_user_whom_clients_may_name_is_looked_at(plan):
    """By his place in the file: a report that may be shown to a vendor names nobody."""
    users = {
        name: {"username": Secret(f"{name}@psap.example", "test"), "password": Secret("x", "test")}
        for name in ("alice", "bob")
    }
    people = credential(CORE) | {"grant": "password", "from_client": "header:X-User", "users": users}
    people |= {"clients": ["127.0.0.0/8"]}

    headings = await plan([{"upstream": CORE, "credential": "desk"}], credential={"desk": people})

    assert headings["Configuration"] == ["configuration", "secret desk user 1", "secret desk user 2"]
    assert headings["api-sandbox.rapidsos.com:443"] == [
        *("dns", "tcp", "tls"),
        *(f"{link} desk user {number}" for number in (1, 2) for link in ("endpoint", "grant", "token")),
        "upstream desk",
        "clock",
    ]


async def test_pinned_addresses_are_a_way_of_their_own(plan):
    """Token calls do not use them, so both ways are looked at."""
    headings = await plan([{"upstream": CORE, "credential": "core", "addresses": ["203.0.113.7"]}])

    assert headings["api-sandbox.rapidsos.com:443"][-2:] == ["token core", "clock"]
    assert headings["api-sandbox.rapidsos.com:443 at 203.0.113.7"] == ["dns", "tcp", "tls", "upstream core", "clock"]


async def test_through_a_corporate_proxy_there_are_tunnels(plan):
    """The proxy itself is looked at once, before them."""
    headings = await plan(
        [{"upstream": CORE, "credential": "core"}], outbound={"proxy": "http://proxy.centre.example:3128"}
    )

    assert headings["Corporate proxy http://proxy.centre.example:3128"] == ["dns", "tcp"]
    assert headings["api-sandbox.rapidsos.com:443"][:2] == ["tunnel", "tls"]


async def test_what_stays_on_this_machine_needs_no_corporate_proxy(plan):
    """So that is not looked at either."""
    here = "http://127.0.0.1:9911"

    headings = await plan(
        [{"upstream": here, "credential": "core"}],
        credential={"core": credential(here)},
        outbound={"proxy": "http://proxy.centre.example:3128"},
    )

    assert not any(heading.startswith("Corporate proxy") for heading in headings)
    assert headings["127.0.0.1:9911"][0] == "dns"
