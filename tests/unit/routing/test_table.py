"""The route table: first match wins, conditions are exact, and paths leave as they came."""

from ipaddress import ip_address

import pytest

from proxy.config.models import Listener, Match, Route
from proxy.errors import Malformed, NoRoute
from proxy.http.authority import parse_authority
from proxy.http.head import parse_request_head
from proxy.http.targets import parse_host, parse_target
from proxy.routing.origin import Origin
from proxy.routing.table import RouteTable

CORE = "https://api-sandbox.rapidsos.com"
EDX = "https://edx-sandbox.rapidsos.com"


def route(name, upstream=CORE, *, strip="", **match) -> Route:
    """Build a route from the keys of its match."""
    return Route(name=name, match=Match(**match), strip=strip, upstream=upstream, credential="core")


def table(*routes: Route, listeners=("cad",)) -> RouteTable:
    """Build a table for these listeners."""
    return RouteTable(routes, [Listener(name=name, bind=f"127.0.0.1:{8080 + n}") for n, name in enumerate(listeners)])


def match(routes, line="GET / HTTP/1.1", *fields, host="localhost", listener="cad", client="127.0.0.1"):
    """Match one request, as its bytes would come in."""
    head = parse_request_head("\r\n".join([line, f"Host: {host}", *fields]).encode() + b"\r\n\r\n")
    target = parse_target(head.method, head.target, parse_host(head.section))
    return routes.match(listener, head, target, ip_address(client))


PROFILE = table(
    route("alerts", EDX, path="/egress/v1/alerts", strip="/egress"),
    route("egress", path="/egress/", strip="/egress"),
    route("ingress", path="/ingress/", strip="/ingress"),
    route("core-host", host="api-sandbox.rapidsos.com"),
    route("edx-host", EDX, host="edx-sandbox.rapidsos.com"),
)
"""Shaped like the built-in profile."""


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/ingress", "ingress", "/"),
        ("/ingress/", "ingress", "/"),
        ("/ingress?x=1", "ingress", "/?x=1"),
        ("/ingress/?x=1", "ingress", "/?x=1"),
        ("/ingress/v1/rem/trigger", "ingress", "/v1/rem/trigger"),
        ("/ingress//v1//", "ingress", "//v1//"),
        ("/ingress/ingress/x", "ingress", "/ingress/x"),
        ("/ingress/a%2Fb%2f+?a=1&a=2&b=%26", "ingress", "/a%2Fb%2f+?a=1&a=2&b=%26"),
        ("/egress/v1/alerts", "alerts", "/v1/alerts"),
        ("/egress/v1/alerts/", "alerts", "/v1/alerts/"),
        ("/egress/v1/alerts?limit=1", "alerts", "/v1/alerts?limit=1"),
        ("/egress/v1/alerts/alert-1/log_messages", "alerts", "/v1/alerts/alert-1/log_messages"),
        ("/egress/v1/alertsx", "egress", "/v1/alertsx"),
        ("/egress/v1/location?caller_id=%2B1555", "egress", "/v1/location?caller_id=%2B1555"),
        ("/egress/v1//x", "egress", "/v1//x"),
    ],
)
def test_prefix_route_takes_and_strips(path, name, expected):
    """The first route that fits takes the request; all behind the stripped prefix is as it came."""
    matched = match(PROFILE, f"POST {path} HTTP/1.1")

    assert (matched.route.name, matched.path) == (name, expected)


@pytest.mark.parametrize("path", ["/", "/ingressx", "/INGRESS/", "/x/ingress/", "/?/ingress/"])
def test_request_that_no_route_takes_is_404_and_told_what_there_is(path):
    """The prefixes and hosts of this listener help whoever mistyped one."""
    with pytest.raises(NoRoute) as caught:
        match(PROFILE, f"GET {path} HTTP/1.1")

    assert "/egress/v1/alerts/, /egress/, /ingress/, api-sandbox.rapidsos.com/" in caught.value.detail


@pytest.mark.parametrize(
    "path",
    [
        "/egress/v1/alerts/../location",
        "/egress/v1/alerts/%2e%2e/location",
        "/egress/v1/alerts%2f..%2flocation",
        "/egress/..;/admin",
        "/egress/%2e%2e/",
        "/ingress/..",
        "/ingress/a%00",
        "/ingress/a\\b",
    ],
)
def test_path_that_could_leave_its_route_is_refused(path):
    """What an upstream may normalise to a path outside the prefix is 400, before any token is spent on it."""
    with pytest.raises(Malformed):
        match(PROFILE, f"GET {path} HTTP/1.1")


@pytest.mark.parametrize(
    "path",
    [
        "/egress/v1%2falerts",
        "/egress/v1//alerts",
        "/egress//v1/alerts/x",
        "/egress/v1/%61lerts",
        "/egress/v1;x/alerts",
        "/egress/v1/alerts;x",
        "/egress%2fv1/location",
        "//ingress/v1",
        "/x/../ingress/v1",
        "/%2e/ingress/",
        "/ingress%2F",
    ],
)
def test_other_spelling_of_a_prefix_is_refused(path):
    """No spelling gets a request past the route that its plain form belongs to, and on with another's credential."""
    with pytest.raises(Malformed, match="another spelling of"):
        match(PROFILE, f"GET {path} HTTP/1.1")


@pytest.mark.parametrize("path", ["/../x", "/a%2F..%2f", "//x", "/a\\b", "/%00", "/./;x"])
def test_root_route_takes_every_path_as_it_is(path):
    """There is nothing outside ``/``, so nothing is refused there."""
    assert match(PROFILE, f"GET {path} HTTP/1.1", host="api-sandbox.rapidsos.com").path == path


def test_other_spelling_counts_only_where_the_route_would_take_the_request():
    """A narrow route of another method, host or client does not forbid spellings to the rest."""
    routes = table(route("post", path="/a/", methods=("POST",)), route("all"))

    assert match(routes, "GET //a/ HTTP/1.1").path == "//a/"
    with pytest.raises(Malformed):
        match(routes, "POST //a/ HTTP/1.1")


@pytest.mark.parametrize(
    ("line", "host", "name"),
    [
        ("GET /v1/x HTTP/1.1", "api-sandbox.rapidsos.com", "core-host"),
        ("GET /v1/x HTTP/1.1", "EDX-Sandbox.rapidsos.com:8080", "edx-host"),
        ("GET /v1/x HTTP/1.1", "edx-sandbox.rapidsos.com.", "edx-host"),
        ("GET http://edx-sandbox.rapidsos.com/v1/x HTTP/1.1", "api-sandbox.rapidsos.com", "edx-host"),
        ("GET https://edx-sandbox.rapidsos.com:443/v1/x HTTP/1.1", "localhost", "edx-host"),
    ],
)
def test_host_route_takes_by_the_effective_host(line, host, name):
    """The target's own authority, else Host; in any case, on any port."""
    matched = match(PROFILE, line, host=host)

    assert (matched.route.name, matched.path) == (name, "/v1/x")


def test_options_of_a_whole_server_goes_on_as_it_must():
    """RFC 9112, section 3.2.4: a URL without a path becomes ``*`` on the last hop."""
    assert match(PROFILE, "OPTIONS http://edx-sandbox.rapidsos.com HTTP/1.1").path == "*"


def test_route_without_strip_keeps_the_prefix():
    """The path goes on as it came."""
    assert match(table(route("r", path="/v1/")), "GET /v1/x HTTP/1.1").path == "/v1/x"


@pytest.mark.parametrize("strip", ["/a", "/a/"])
def test_strip_may_be_shorter_than_the_prefix(strip):
    """What is stripped is a beginning of the prefix, its last slash written or not."""
    routes = table(route("r", path="/a/b/", strip=strip))

    assert match(routes, "GET /a/b/c HTTP/1.1").path == "/b/c"
    assert match(routes, "GET /a/b?c HTTP/1.1").path == "/b?c"


@pytest.mark.parametrize("strip", ["/a", "/a/"])
def test_strip_leaves_empty_segments(strip):
    """The slash that a strip ends with is not taken from the path: the one behind it is data."""
    assert match(table(route("r", path="/a/", strip=strip)), "GET /a//x HTTP/1.1").path == "//x"


def test_first_match_wins():
    """The order of the configuration decides, and not how narrow a route is."""
    routes = table(route("one", path="/a/"), route("two", path="/a/b/", methods=("GET",)))

    assert match(routes, "GET /a/b/ HTTP/1.1").route.name == "one"


def test_listener_has_routes_of_its_own():
    """Agencies told apart by port: a route with a listener is unknown to the others."""
    routes = table(
        route("north", listener="north", host="north.local"),
        route("south", listener="south"),
        route("both", path="/both/"),
        listeners=("north", "south"),
    )

    assert match(routes, "GET /both/ HTTP/1.1", listener="north").route.name == "both"
    assert match(routes, "GET /both/ HTTP/1.1", listener="south").route.name == "south"
    with pytest.raises(NoRoute) as caught:
        match(routes, "GET /x HTTP/1.1", listener="north")
    assert "south" not in caught.value.detail
    assert routes.routed_hosts("north") == {"north.local"}
    assert routes.routed_hosts("south") == frozenset()
    assert [found.name for found in routes.routes("north")] == ["north", "both"]


def test_methods_are_exact():
    """GET does not stand for HEAD, nor ``get`` for GET."""
    routes = table(route("read", methods=("GET", "HEAD")), route("rest"))

    names = [match(routes, f"{method} / HTTP/1.1").route.name for method in ("GET", "HEAD", "POST", "get")]

    assert names == ["read", "read", "rest", "rest"]


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ("10.20.0.1", "north"),
        ("10.20.255.255", "north"),
        ("10.21.0.1", "rest"),
        ("192.0.2.9", "north"),
        ("2001:db8::7", "north"),
        ("2001:db9::7", "rest"),
        ("::ffff:10.20.0.1", "north"),
        ("::ffff:10.21.0.1", "rest"),
        ("::1", "rest"),
    ],
)
def test_client_network_decides(client, name):
    """Agencies told apart by network; an IPv4 client of a dual-stack socket is the same client."""
    routes = table(route("north", clients=("10.20.0.0/16", "192.0.2.9/32", "2001:db8::/32")), route("rest"))

    assert match(routes, client=client).route.name == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (["X-Agency: north"], "north"),
        (["x-aGENCY:  north\t"], "north"),
        (["X-Agency: North"], "rest"),
        (["X-Agency: north, south"], "rest"),
        (["X-Agency: north", "X-Agency: south"], "rest"),
        (["X-Agency: south", "X-Agency: north"], "rest"),
        (["X-Agency: north", "X-Agency: north"], "rest"),
        (["X-Agency:"], "rest"),
        (["X-Agencyx: north"], "rest"),
        ([], "rest"),
        (["X-Agency: Nariño"], "nariño"),
    ],
)
def test_header_decides(fields, name):
    """Name in any case, value exact, and once: two agencies in one request are none."""
    routes = table(
        route("north", headers={"X-Agency": "north"}), route("narino", headers={"X-Agency": "Nariño"}), route("rest")
    )

    assert match(routes, "GET / HTTP/1.1", *fields).route.name == name.replace("ñ", "n")


def test_all_conditions_must_hold():
    """One that fails is enough to leave a request to the next route."""
    routes = table(
        route(
            "all",
            path="/a/",
            host="cad.local",
            methods=("POST",),
            clients=("10.0.0.0/8",),
            headers={"X-A": "1", "X-B": "2"},
        ),
        route("rest"),
    )
    good = {"line": "POST /a/ HTTP/1.1", "host": "cad.local", "client": "10.0.0.1"}
    fields = ["X-A: 1", "X-B: 2"]
    bad = [{"line": "POST /b/ HTTP/1.1"}, {"line": "PUT /a/ HTTP/1.1"}, {"host": "a.local"}, {"client": "127.0.0.1"}]

    def name(changes, fields):
        asked = good | changes
        return match(routes, asked["line"], *fields, host=asked["host"], client=asked["client"]).route.name

    assert name({}, fields) == "all"
    assert [name(change, fields) for change in bad] == ["rest"] * 4
    assert name({}, fields[:1]) == "rest"


def test_http_10_without_a_host_has_no_host_to_match():
    """A route with a host does not take a request that names none; one without does."""
    head = parse_request_head(b"GET / HTTP/1.0\r\n\r\n")
    target = parse_target("GET", "/")

    assert table(route("rest")).match("cad", head, target, ip_address("::1")).route.name == "rest"
    with pytest.raises(NoRoute):
        table(route("h", host="a")).match("cad", head, target, ip_address("::1"))


def test_route_is_compiled_with_all_that_the_relay_needs():
    """Origin and Host of the upstream are worked out once."""
    compiled = RouteTable(
        [
            Route(
                name="r",
                upstream="https://API.example:8443/",
                credential="lis",
                addresses=("203.0.113.10",),
                allow_private=True,
                dead_token_status=(401, 400),
                replay=False,
            )
        ],
        [Listener(name="cad", bind="127.0.0.1:1")],
    ).routes("cad")[0]

    assert compiled.upstream == Origin("https", "api.example", 8443)
    assert compiled.host_field == "api.example:8443"
    assert compiled.credential == "lis"
    assert compiled.addresses == ("203.0.113.10",)
    assert compiled.allow_private
    assert compiled.rejections.certain == {400, 401}
    assert not compiled.replay
    assert parse_authority(compiled.host_field).host == compiled.upstream.host


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "x_http_method_override", "X-HTTP-Method", "X-Method-Override"]
)
def test_a_field_cannot_put_a_method_past_a_route(name):
    """A server that heeds it would delete where the route lets nothing but POST through."""
    routes = table(route("write", methods=("POST", "PUT")))

    assert match(routes, "POST / HTTP/1.1", f"{name}: PUT").route.name == "write"
    for value in ("DELETE", "put", ""):
        with pytest.raises(NoRoute):
            match(routes, "POST / HTTP/1.1", f"{name}: {value}")
    assert match(table(route("all")), "POST / HTTP/1.1", f"{name}: DELETE").route.name == "all"


@pytest.mark.parametrize(
    ("base", "known"),
    [
        ("", True),
        (None, False),
        ("/egress", True),
        ("/ingress", True),
        ("/egress/v1/alerts", True),
        ("/egress/behind/it", True),
        ("/nowhere/at/all", False),
        ("/egressx", False),
    ],
)
def test_a_client_has_the_base_url_that_a_route_has(base, known):
    """What no route names is nobody's base; of a host's route it has no path."""
    assert PROFILE.has_base("cad", base) is known


def test_a_route_for_every_path_has_every_base_url():
    """Of the listener that it is for."""
    routes = table(route("all", listener="cad"), route("b", path="/b/"), listeners=("cad", "other"))

    assert routes.has_base("cad", "/anything")
    assert not routes.has_base("other", "/anything")
