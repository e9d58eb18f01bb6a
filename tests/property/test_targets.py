"""Targets: nothing is lost or repaired, and other URL parsers see the same host."""

from contextlib import suppress
from urllib.parse import urlsplit

import httptools
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.errors import Malformed
from proxy.http.authority import Authority, build_authority, parse_authority
from proxy.http.targets import parse_target

VCHAR = "".join(map(chr, range(0x21, 0x7F)))
visible = st.text([c for c in VCHAR if c != "#"], max_size=40)
labels = st.from_regex(r"[0-9A-Za-z]([0-9A-Za-z-]{0,8}[0-9A-Za-z])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = names | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda address: f"[{address}]")
ports = st.none() | st.integers(1, 65535)
schemes = st.sampled_from(["http", "https", "HTTP", "hTTps"])


@given(visible)
def test_origin_form_is_kept_byte_for_byte(text):
    """Whatever visible characters a path and a query have."""
    assert parse_target("GET", f"/{text}").path == f"/{text}"


@given(schemes, hosts, ports, st.sampled_from(["", "/", "?"]), visible)
def test_absolute_form_of_the_grammar_is_taken_apart(scheme, host, port, separator, text):
    """Each part comes back as it was put in, host and scheme in lower case."""
    rest = f"{separator}{text}" if separator else ""
    written = host if port is None else f"{host}:{port}"

    target = parse_target("GET", f"{scheme}://{written}{rest}")

    assert target.form == "absolute"
    assert target.scheme == scheme.lower()
    assert target.host == host.strip("[]").lower()
    assert target.port == port
    assert target.path == (rest if separator == "/" else f"/{rest}")


MARKS = [":", "@", "/", "\\", "?", ".", "[", "]", "%", "%2f", "%40", "%00", ";", ",", "-", "_"]
WORDS = ["a.example", "b.example", "b", "80", "0x7f", "::1", "127.1", "a.example:80", "[::1]:80", "u:p@"]
tricky = st.lists(st.sampled_from(WORDS) | st.sampled_from(MARKS + WORDS), max_size=5).map("".join)


def see_urllib(text):
    """Read with urllib."""
    parts = urlsplit(text)
    return parts.hostname or "", parts.port


def see_yarl(text):
    """Read with yarl."""
    url = URL(text)
    return (url.raw_host or "").lower(), url.explicit_port


def see_llhttp(text):
    """Read with httptools."""
    url = httptools.parse_url(text.encode())
    return (url.host or b"").decode().strip("[]").lower(), url.port


@given(schemes, tricky)
@example("http", "a.example\\@b.example/")
@example("http", "a.example:80@b.example/")
@example("http", "a.example.:80/")
@example("http", "[::1]:80/")
@example("http", "a.example?@b.example/")
@settings(max_examples=200)
def test_host_accepted_is_the_host_that_others_see(scheme, rest):
    """No target names one host to us and another to urllib, yarl or llhttp, where they read it at all."""
    text = f"{scheme}://{rest}"
    try:
        target = parse_target("GET", text)
    except Malformed:
        event("refused")
        return
    seen = []
    for see in (see_urllib, see_yarl, see_llhttp):
        with suppress(ValueError, httptools.HttpParserInvalidURLError):
            seen.append(see(text))
    event(f"accepted, by {len(seen)} others as well")

    assert all((host.removesuffix("."), port) == (target.host, target.port) for host, port in seen)


@given(st.sampled_from(["GET", "OPTIONS", "CONNECT"]), st.text(VCHAR, min_size=1, max_size=40) | tricky.filter(bool))
def test_any_target_is_read_or_malformed(method, text):
    """There is no third outcome, and what is read has a path that can go on a request line."""
    try:
        target = parse_target(method, text)
    except Malformed:
        event("refused")
        return
    event(target.form)

    assert target.path.startswith("/") or (method, target.path) in {("OPTIONS", "*"), ("CONNECT", "")}
    assert text.endswith(target.path.removeprefix("/")) or target.path == "*"


@given(st.text(max_size=20) | tricky)
def test_host_is_read_in_a_spelling_that_reads_as_itself(text):
    """What comes out, written again, comes out again: no second look finds another host."""
    try:
        authority = parse_authority(text)
    except ValueError:
        event("refused")
        return
    event("accepted")

    assert authority.host.isascii()
    assert parse_authority(build_authority(authority.host, authority.port)) == authority


@given(hosts, ports)
def test_host_of_the_grammar_is_read(host, port):
    """Names and addresses, with a port or without."""
    expected = host.strip("[]").lower()

    authority = parse_authority(host if port is None else f"{host}:{port}")

    assert authority == Authority(expected, port, authority.is_local)
    assert authority.is_local or "." in expected
