"""Routes that make no sense are found before the first request, with what to write instead."""

import pytest

from proxy.config.models import Config, Credential, Listener, Match, Route
from proxy.errors import ConfigError
from proxy.routing.check import check_routes
from proxy.routing.table import RouteTable

CORE = "https://api-sandbox.rapidsos.com"


def route(name="r", upstream=CORE, *, strip="", credential="core", **match) -> Route:
    """Build a route from the keys of its match."""
    return Route(name=name, match=Match(**match), strip=strip, upstream=upstream, credential=credential)


def config(*routes: Route) -> Config:
    """Build a configuration of two listeners, one credential and these routes."""
    return Config(
        listener=(Listener(name="north", bind="127.0.0.1:8080"), Listener(name="south", bind="127.0.0.1:8081")),
        credential={"core": Credential(grant="client_credentials")},
        route=routes,
    )


@pytest.mark.parametrize(
    "routes",
    [
        [route()],
        [route(path="/a", strip="/a")],
        [route(path="/a/b/", strip="/a/")],
        [route(path="/v1.2/~x/@y/a..b/...")],
        [route(upstream="https://api.rapidsos.com:8443/")],
        [route("a", path="/a/b/"), route("b", path="/a/"), route("c")],
        [route("a", path="/a/"), route("b", path="/ab/")],
        [route("a", listener="north"), route("b", listener="south")],
        [route("a", host="a.example"), route("b", host="b.example"), route("c")],
        [route("a", methods=("GET",)), route("b", methods=("GET", "POST")), route("c")],
        [
            route("a", clients=("10.1.0.0/16",)),
            route("b", clients=("10.0.0.0/8",)),
            route("c", clients=("::/0",)),
            route("d"),
        ],
        [route("a", headers={"X": "1"}), route("b", headers={"X": "2"}), route("c", headers={"Y": "1"})],
        [route("a", headers={"X": "1", "Y": "1"}), route("b", headers={"X": "1"})],
    ],
)
def test_sensible_routes_pass(routes):
    """Narrow before wide, and every route reached by some request."""
    check_routes(config(*routes))

    assert RouteTable(routes, config().listener).routes("north")


@pytest.mark.parametrize(
    ("routes", "where", "problem", "fix"),
    [
        ([], "route", "is empty", "add [[route]]"),
        ([route(path="/a/"), route()], "route[r].name", "names two routes", "name"),
        ([route(listener="nort")], "route[r].match.listener", 'no listener "nort"', 'did you mean "north"?'),
        ([route(listener="xyz")], "route[r].match.listener", 'no listener "xyz"', "write one of: north, south"),
        ([route(credential="cor")], "route[r].credential", 'no credential "cor"', 'did you mean "core"?'),
        ([route(path="a/")], "route[r].match.path", "not a plain path", "begin with /"),
        ([route(path="")], "route[r].match.path", "not a plain path", "begin with /"),
        ([route(path="/a//b")], "route[r].match.path", "not a plain path", "//"),
        ([route(path="//")], "route[r].match.path", "not a plain path", "//"),
        ([route(path="/a/../b")], "route[r].match.path", "not a plain path", ".."),
        ([route(path="/a/.")], "route[r].match.path", "not a plain path", ".."),
        ([route(path="/a%2Fb")], "route[r].match.path", "not a plain path", "percent-encoded"),
        ([route(path="/a/*")], "route[r].match.path", "not a plain path", "*"),
        ([route(path="/a;b")], "route[r].match.path", "not a plain path", ";"),
        ([route(path="/a?b")], "route[r].match.path", "not a plain path", "begin with /"),
        ([route(path="/a b")], "route[r].match.path", "not a plain path", "begin with /"),
        ([route(path="/caf\xe9")], "route[r].match.path", "not a plain path", "percent-encoded"),
        ([route(path="/a\n")], "route[r].match.path", "not a plain path", "begin with /"),
        ([route(path="/ab/", strip="/a")], "route[r].strip", "not how match.path", 'strip = "/ab"'),
        ([route(path="/a/", strip="/a/b")], "route[r].strip", "not how match.path", 'strip = "/a"'),
        ([route(path="/a/", strip="a")], "route[r].strip", "not how match.path", 'strip = "/a"'),
        ([route(strip="/a")], "route[r].strip", "not how match.path", "leave strip out"),
        ([route(methods=("GET", "TRACE"))], "route[r].match.methods", "TRACE is never forwarded", "leave it out"),
        ([route(methods=("CONNECT",))], "route[r].match.methods", "CONNECT is never forwarded", "leave it out"),
    ],
)
def test_senseless_route_is_refused(routes, where, problem, fix):
    """Each names the key, what is wrong with it, and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        check_routes(config(*routes))

    assert caught.value.where == where
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({}, {"path": "/a/"}),
        ({}, {"host": "a.example", "methods": ("GET",), "clients": ("10.0.0.0/8",), "headers": {"X": "1"}}),
        ({"path": "/a/"}, {"path": "/a"}),
        ({"path": "/a"}, {"path": "/a/b/", "listener": "north"}),
        ({"listener": "north"}, {"listener": "north", "path": "/x/"}),
        ({"host": "a.example"}, {"host": "a.example"}),
        ({"methods": ("GET", "POST")}, {"methods": ("GET",)}),
        ({"clients": ("10.0.0.0/8", "::/0")}, {"clients": ("10.1.0.0/16", "10.2.0.0/16", "fd00::/8")}),
        ({"headers": {"X-A": "1"}}, {"headers": {"x-a": "1", "X-B": "2"}}),
    ],
)
def test_route_behind_one_that_takes_all_of_its_requests_is_refused(earlier, later):
    """A route that is never reached is a mistake in the order, and both routes are named."""
    with pytest.raises(ConfigError, match="never reached") as caught:
        check_routes(config(route("between", path="/other/"), route("before", **earlier), route("after", **later)))

    assert caught.value.where == "route[after]"
    assert '"before"' in caught.value.problem
    assert caught.value.fix.startswith('move "after" before "before"')
