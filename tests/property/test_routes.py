"""Routes: no upstream's way of reading a path takes it out of its route or past another."""

import re
from ipaddress import ip_address
from posixpath import normpath
from urllib.parse import unquote, urljoin

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.config.models import Listener, Match, Route
from proxy.errors import Malformed, NoRoute
from proxy.http.head import parse_request_head
from proxy.http.targets import parse_host, parse_target
from proxy.routing.paths import check_inside
from proxy.routing.table import RouteTable

CLIENT = ip_address("10.1.2.3")
LISTENER = Listener(name="cad", bind="127.0.0.1:8080")


def route(name, **match) -> Route:
    """Build a route from the keys of its match."""
    return Route(name=name, match=Match(**match), upstream="https://api.example", credential="core")


def match(table, path, method="GET", *fields):
    """Match one request, as its bytes would come in."""
    raw = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: cad.local", *fields]).encode() + b"\r\n\r\n"
    head = parse_request_head(raw)
    return table.match("cad", head, parse_target(head.method, head.target, parse_host(head)), CLIENT)


def without_parameters(path: str) -> str:
    """Cut ``;…`` off each segment, as servlet containers do."""
    return re.sub(r";[^/]*", "", path)


def resolved(path: str) -> str:
    """Resolve dot segments and merge slashes; ``?`` ends a path."""
    return "/" + normpath(path.partition("?")[0]).lstrip("/.")


UPSTREAMS = {
    "resolves, then decodes": lambda path: unquote(resolved(path)),
    "decodes, then resolves": lambda path: resolved(unquote(path)),
    "decodes twice": lambda path: resolved(unquote(unquote(path))),
    "resolves between two decodings": lambda path: resolved(unquote(resolved(unquote(path)))),
    "cuts parameters, then decodes": lambda path: resolved(unquote(without_parameters(path))),
    "decodes, then cuts parameters": lambda path: resolved(without_parameters(unquote(path))),
    "takes backslashes for slashes": lambda path: resolved(unquote(path).replace("\\", "/")),
    "ends at NUL": lambda path: resolved(unquote(path).partition("\0")[0]),
    "is yarl": lambda path: URL(f"http://a{path}").path,
    "is urllib": lambda path: resolved(urljoin("http://a/", f"http://a{path}")[len("http://a") :]),
}
"""Ways to read a path, each of which some server has."""

DOTS = [".", "..", "%2e", "%2E%2e", ".%2e", "%252e%252e", "..;", "..;a=b"]
SLASHES = ["/", "/", "/", "//", "%2f", "%2F", "%252f", "\\", "%5c"]
WORDS = ["a", "egress", "v1", "alerts", "%61lerts", "x;y", ";", "%00", "%20", "+", "%", "%25", "b.c", "...", "?", "%3f"]
paths = st.lists(st.sampled_from(DOTS) | st.sampled_from(SLASHES) | st.sampled_from(WORDS), max_size=10).map("".join)


def is_under(path: str, base: str) -> bool:
    """Return whether ``path`` is ``base`` or lies under it."""
    return path == base or path.startswith(f"{base}/")


@given(paths, st.sampled_from(sorted(UPSTREAMS)))
@settings(max_examples=400)
def test_no_upstream_reads_an_accepted_path_as_outside_its_prefix(rest, upstream):
    """Whatever an upstream does to a path that a narrow route took, it stays in that route."""
    path = f"/egress/v1/{rest}".partition("?")[0]
    try:
        check_inside(path)
    except Malformed:
        event("refused")
        return
    event("accepted")

    assert is_under(UPSTREAMS[upstream](path), "/egress/v1")


NARROW_FIRST = RouteTable([route("alerts", path="/egress/v1/alerts"), route("egress", path="/egress/")], [LISTENER])


@given(paths, st.sampled_from(["/egress", "/egress/", "/egress/v1", "/egress/v1/", "/egress/v1/alerts", "/"]))
@settings(max_examples=400)
@example("%2falerts", "/egress/v1")
@example("x/../alerts", "/egress/v1/")
def test_no_upstream_reads_an_accepted_path_as_another_routes(rest, start):
    """A path that the second route took is no spelling of one that belongs to the first."""
    path = start + rest
    try:
        matched = match(NARROW_FIRST, path)
    except (Malformed, NoRoute) as error:
        event(type(error).__name__)
        return
    event(matched.route.name)
    read = {name: is_under(reading(path.partition("?")[0]), "/egress/v1/alerts") for name, reading in UPSTREAMS.items()}

    assert matched.route.name == "alerts" or not any(read.values()), read


rests = st.text("abcXYZ019-._~+%/?&=;:@", max_size=40)


@given(
    st.just("") | st.builds(str.__add__, st.sampled_from("/?"), rests), st.sampled_from(["", "/egress", "/egress/v1"])
)
def test_accepted_path_goes_on_byte_for_byte(text, strip):
    """Only the stripped prefix is missing; where nothing or a query is left, a slash stands before it."""
    table = RouteTable([route("r", path="/egress/v1/").model_copy(update={"strip": strip})], [LISTENER])
    path = f"/egress/v1{text}"
    try:
        matched = match(table, path)
    except (Malformed, NoRoute):
        event("refused")
        return
    event("accepted")
    rest = path.removeprefix(strip)

    assert matched.path == (rest if rest.startswith("/") else f"/{rest}")


@given(st.text("abc%./;\\", max_size=20).map(lambda text: f"/{text}"))
def test_root_route_refuses_nothing(path):
    """On ``/`` every path passes as it is."""
    assert match(RouteTable([route("all")], [LISTENER]), path).path == path


words = st.sampled_from(["a", "b", "ab"])
plain_paths = st.lists(words, max_size=3).map(lambda parts: "/" + "/".join(parts))
matches = st.fixed_dictionaries(
    {
        "path": plain_paths,
        "methods": st.sampled_from([(), ("GET",), ("POST", "GET")]),
        "clients": st.sampled_from([(), ("10.0.0.0/8",), ("192.0.2.0/24", "::/0")]),
        "headers": st.sampled_from([{}, {"X-Agency": "north"}, {"x-agency": "south"}]),
        "host": st.sampled_from([None, "cad.local", "other.local"]),
        "listener": st.sampled_from([None, "cad", "other"]),
    }
)


def takes(keys, path, method, agency) -> bool:
    """Say by the words of the contract whether a route takes a request."""
    want, have = keys["path"].strip("/"), path.partition("?")[0].strip("/")
    return (
        (not want or have.split("/")[: len(want.split("/"))] == want.split("/"))
        and (not keys["methods"] or method in keys["methods"])
        and (not keys["clients"] or "10.0.0.0/8" in keys["clients"])
        and (not keys["headers"] or agency in keys["headers"].values())
        and keys["host"] in {None, "cad.local"}
        and keys["listener"] in {None, "cad"}
    )


@given(
    st.lists(matches, max_size=5),
    plain_paths,
    st.sampled_from(["", "/", "?x=/a/b"]),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(["north", "south", "west"]),
)
def test_first_route_that_fits_takes_the_request(routes, path, end, method, agency):
    """For any routes and any plain path: the first whose every key holds, or none."""
    asked = path if path == "/" and end == "/" else path + end
    table = RouteTable([route(str(number), **keys) for number, keys in enumerate(routes)], [LISTENER])
    expected = next((str(n) for n, keys in enumerate(routes) if takes(keys, asked, method, agency)), None)
    event("taken" if expected else "refused")

    if expected is None:
        with pytest.raises(NoRoute):
            match(table, asked, method, f"X-Agency: {agency}")
    else:
        assert match(table, asked, method, f"X-Agency: {agency}").route.name == expected
