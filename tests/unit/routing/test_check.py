"""Routes that make no sense are found before the first request, with what to write instead."""

import re

import pytest

from proxy.config.models import Listener, Match, Route
from proxy.config.problems import Problems
from proxy.routing.check import check_routes
from proxy.routing.table import RouteTable

CORE = "https://api-sandbox.rapidsos.com"


def route(name="r", upstream=CORE, *, strip="", credential="core", **match) -> Route:
    """Build a route from the keys of its match."""
    return Route(name=name, match=Match(**match), strip=strip, upstream=upstream, credential=credential)


def permitting(match=None, **lists) -> Route:
    """Build a route that has lists."""
    return Route(name="r", match=Match(**(match or {})), upstream=CORE, credential="core", **lists)


@pytest.fixture
def check():
    """Return a function that gives all that is told of some routes."""

    def check(*routes: Route) -> str:
        problems = Problems("test.toml")
        check_routes(routes, problems)
        return str(problems.build_error()) if problems.are_any else ""

    return check


@pytest.mark.parametrize(
    "routes",
    [
        [route()],
        [route(path="/a", strip="/a")],
        [route(path="/a/b/", strip="/a/")],
        [route(path="/v1.2/~x/@y/a..b/...")],
        [permitting(methods=("GET",), paths=("/v1/location", "/v1/alerts/"))],
        [permitting({"methods": ("GET", "POST")}, methods=("GET", "PUT"))],
        [permitting({"path": "/egress/"}, strip="/egress/", paths=("/v1",))],
        [permitting({"path": "/egress/v1/"}, strip="/egress", paths=("/v1/alerts",))],
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
def test_sensible_routes_pass(check, routes):
    """Narrow before wide, and every route reached by some request."""
    assert check(*routes) == ""
    assert RouteTable(routes, [Listener(name="north", bind="127.0.0.1:8080")]).routes("north")


@pytest.mark.parametrize(
    ("routes", "where", "problem", "fix"),
    [
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
        ([permitting(methods=("TRACE",))], "route[r].methods", "TRACE is never forwarded", "leave it out"),
        (
            [permitting({"methods": ("GET",)}, methods=("POST",))],
            "route[r].methods",
            "has none of match.methods",
            "leave it out",
        ),
        ([permitting(paths=("/a/../b",))], "route[r].paths", "not a plain path", "begin with /"),
        ([permitting(paths=("/v1/*",))], "route[r].paths", "not a plain path", "begin with /"),
        ([permitting(paths=("/",))], "route[r].paths", "permits every path", "leave it out"),
        (
            [permitting({"path": "/egress/v1/"}, strip="/egress", paths=("/v1/location", "/egress/v1/alerts"))],
            "route[r].paths",
            '"/egress/v1/alerts" is never reached',
            'as RapidSOS gets it, beginning with "/v1/"',
        ),
    ],
)
def test_senseless_route_is_refused(check, routes, where, problem, fix):
    """Each names the key, what is wrong with it, and what to write instead."""
    told, told_fix = check(*routes).split("\n  fix: ")

    assert told.startswith(f"test.toml: {where}: ")
    assert problem in told
    assert fix in told_fix


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
def test_route_behind_one_that_takes_all_of_its_requests_is_refused(check, earlier, later):
    """A route that is never reached is a mistake in the order, and both routes are named."""
    told = check(route("between", path="/other/"), route("before", **earlier), route("after", **later))

    assert told.startswith('test.toml: route[after]: is never reached: route "before", which stands before it, takes')
    assert '\n  fix: move "after" before "before"' in told


def test_everything_is_told_of_every_route(check):
    """One after the other would be a check for each; a route behind two that take its requests is told of once."""
    told = check(
        route("all"), route("bad", path="b"), route("worse", path="/c/", strip="/d", methods=("TRACE",)), route("last")
    )

    assert re.findall(r"test\.toml: (\S+): ", told) == [
        "route[bad].match.path",
        "route[worse].strip",
        "route[worse].match.methods",
        "route[worse]",
        "route[last]",
    ]
