"""Targets, hosts, routes, tokens in a query: read or refused by name, sent on as they came, never outside a route."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote, unquote_plus

from fuzz.passage import ADMISSION, CLIENT, LISTENER, ROUTES
from fuzz.supply import Supply
from proxy.errors import ClientError, Malformed, NoRoute
from proxy.http.admission import has_own_via
from proxy.http.authority import build_authority, find_share, is_address, parse_authority
from proxy.http.fields import build_section
from proxy.http.head import RequestHead
from proxy.http.placement import place_in_query
from proxy.http.targets import parse_host, parse_target
from proxy.routing.paths import is_odd, normal_form

METHODS = ("GET", "OPTIONS", "CONNECT", "POST")
TOKEN = "t0k3n"
SEEDS = (
    b"\x00/ingress/v1/a?token=x&b=c\ncad:8080",
    b"\x00/ingress/%2e%2e/egress;x/..%2f\\a\ncad",
    b"\x01*\n[::1]:80",
    b"\x03http://api.example:443?q=%23\napi.example.",
    b"\x02api.example:443\n",
    b"\x00/%u002e%c0%ae/%25%32%65//ingress/?a;token=1;%74oken=2\ncad",
    b"\x00/a\ncad\nhttps://cad.example\n1.1 x (y (z)), 1.0 rapidsos-proxy",
)


def fuzz_one(data: bytes) -> None:
    """Take a method, and lines for the target, Host, Origin and Via."""
    supply = Supply(data)
    method = supply.choose(METHODS)
    target, host, origin, via, *_ = (*supply.take_rest().decode("latin-1").split("\n"), "", "", "", "")
    check_authority(host)
    visible = "".join(character for character in target if "!" <= character <= "~")
    if not visible:
        return
    check_target(method, visible)
    check_placement(f"/{visible}")
    fields = [("Host", host), *((name, value) for name, value in (("Origin", origin), ("Via", via)) if value)]
    head = RequestHead(1, build_section(fields), 0, method, visible)
    assert has_own_via(head, "rapidsos-proxy") <= ("rapidsos-proxy" in via.lower())
    with suppress(ClientError):
        check_route(head)


def check_authority(text: str) -> None:
    """Assert that a host is one, or none; and that it is read again as it was read."""
    try:
        authority = parse_authority(text)
    except ValueError:
        return
    assert parse_authority(build_authority(authority.host, authority.port)) == authority
    assert authority.host.isascii()
    assert not set("/@?#\\% \r\n\0").intersection(authority.host)
    if is_address(authority.host):
        assert find_share(authority.host)


def check_target(method: str, text: str) -> None:
    """Assert that a target is one, or none, and that its path is what stood there."""
    try:
        target = parse_target(method, text)
    except Malformed:
        return
    assert "#" not in text
    assert target.path.startswith("/") or (method, target.path) in {("OPTIONS", "*"), ("CONNECT", "")}
    assert text.endswith(target.path.removeprefix("/")) or target.path == "*"


def check_placement(path: str) -> None:
    """Assert that one token is in the query, ours, whoever reads it."""
    placed = place_in_query(path, "token", TOKEN)
    query = placed.partition("?")[2]
    for separators in ("&", "&;"):
        pairs = "".join("&" if character in separators else character for character in query).split("&")
        tokens = [pair.partition("=")[2] for pair in pairs if unquote_plus(pair.partition("=")[0]) == "token"]
        assert tokens == [TOKEN], placed


def check_route(head: RequestHead) -> None:
    """Assert that a path which went by a narrow route is under it, whatever is undone."""
    target = parse_target(head.method, head.target, parse_host(head.section))
    admitted = ADMISSION.admit(head)
    assert admitted == target
    try:
        matched = ROUTES.match(LISTENER.name, head, admitted, CLIENT)
    except NoRoute:
        return
    assert admitted.path.endswith(matched.path.removeprefix("/"))
    plain = admitted.path.partition("?")[0]
    if matched.route.name == "ingress":
        for reading in (plain, unquote(plain), unquote(unquote(plain)), normal_form(plain)):
            assert f"{reading}/".startswith("/ingress/"), (plain, reading)
            assert "/../" not in f"{reading}/", (plain, reading)
    elif is_odd(admitted.path):
        assert not f"{normal_form(plain)}/".startswith("/ingress/"), plain
