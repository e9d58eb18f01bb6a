"""Targets: four forms, each where RFC 9112 allows it; path and query stay as they came."""

import pytest

from proxy.errors import Malformed
from proxy.http.authority import parse_authority
from proxy.http.head import parse_request_head
from proxy.http.targets import Target, parse_host, parse_target

HOST = parse_authority("proxy.local:8080")


def request(*fields: bytes, version: bytes = b"1.1"):
    """Parse a GET with these field lines."""
    return parse_request_head(b"\r\n".join([b"GET / HTTP/" + version, *fields]) + b"\r\n\r\n")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a%2Fb%2f/+/%20",
        "//",
        "//evil.example/x",
        "/a//b/",
        "/?",
        "/?a=1&a=2&b=%26+",
        "/a?b?c/../",
        "/..",
        "/a:b@c",
        "/|{}\\^`",
        "/http://x/",
    ],
)
def test_origin_form_keeps_path_and_query(path):
    """Byte for byte, and the Host field says whose they are (RFC 9112, section 3.3)."""
    assert parse_target("GET", path, HOST) == Target("origin", None, "proxy.local", 8080, path)
    assert parse_target("GET", path) == Target("origin", None, None, None, path)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://a.example", Target("absolute", "http", "a.example", None, "/")),
        ("http://a.example/", Target("absolute", "http", "a.example", None, "/")),
        ("HTTP://A.Example:80/x", Target("absolute", "http", "a.example", 80, "/x")),
        ("https://a.example:8443/x%2Fy?z", Target("absolute", "https", "a.example", 8443, "/x%2Fy?z")),
        ("http://a.example?q=/x", Target("absolute", "http", "a.example", None, "/?q=/x")),
        ("http://[::1]:8080//x", Target("absolute", "http", "::1", 8080, "//x")),
        ("http://a.example/@b:c", Target("absolute", "http", "a.example", None, "/@b:c")),
        ("http://a.example?x@b", Target("absolute", "http", "a.example", None, "/?x@b")),
    ],
)
def test_absolute_form_wins_over_host(target, expected):
    """RFC 9112, section 3.2.2: the Host field is ignored; a URL without a path asks for /."""
    assert parse_target("GET", target, HOST) == expected


def test_options_of_a_bare_url_asks_for_the_whole_server():
    """RFC 9112, section 3.2.4: the last proxy must send it on as ``OPTIONS *``."""
    assert parse_target("OPTIONS", "http://a.example").path == "*"
    assert parse_target("OPTIONS", "http://a.example/").path == "/"
    assert parse_target("OPTIONS", "http://a.example?x").path == "/?x"


def test_asterisk_form_is_for_options():
    """RFC 9112, section 3.2.4."""
    assert parse_target("OPTIONS", "*", HOST) == Target("asterisk", None, "proxy.local", 8080, "*")
    with pytest.raises(Malformed, match="OPTIONS alone"):
        parse_target("GET", "*", HOST)


def test_authority_form_is_for_connect():
    """RFC 9112, section 3.2.3."""
    assert parse_target("CONNECT", "a.example:443", HOST) == Target("authority", None, "a.example", 443, "")
    with pytest.raises(Malformed):
        parse_target("GET", "a.example:443", HOST)


@pytest.mark.parametrize(
    ("method", "target", "detail"),
    [
        ("GET", "/a#b", "%23"),
        ("GET", "http://a/#b", "%23"),
        ("GET", "http://a#b", "%23"),
        ("GET", "a/b", "begins with /"),
        ("GET", "?a", "begins with /"),
        ("GET", "**", "begins with /"),
        ("GET", "\\a", "begins with /"),
        ("GET", "http:/a", "begins with /"),
        ("GET", "http:a", "begins with /"),
        ("GET", "http:\\\\a", "begins with /"),
        ("GET", "://a/", "begins with /"),
        ("GET", "1http://a/", "begins with /"),
        ("GET", "ftp://a/", "only http"),
        ("GET", "file:///etc/passwd", "only http"),
        ("GET", "ws://a/", "only http"),
        ("GET", "gopher://a/", "only http"),
        ("GET", "http://", "host is empty"),
        ("GET", "http:///a", "host is empty"),
        ("GET", "http://:80/", "host is empty"),
        ("GET", "http://?a", "host is empty"),
        ("GET", "http://user:secret@a/", "user name"),
        ("GET", "http://a@b/", "user name"),
        ("GET", "http://a.example\\@b.example/", "user name"),
        ("GET", "http://a.example\\.b.example/", "not a name"),
        ("GET", "http://a.example%2f.b.example/", "percent-encoded"),
        ("GET", "http://a.example%00.b.example/", "percent-encoded"),
        ("GET", "http://a.example:80:80/", "not a name"),
        ("GET", "http://a.example:99999/", "a port"),
        ("GET", "http://a.example:x/", "not a name"),
        ("GET", "http://a.example,b.example/", "not a name"),
        ("GET", "http://[::1/", "not a name"),
        ("GET", "http://[fe80::1%25eth0]/", "percent-encoded"),
        ("CONNECT", "/", "not a name"),
        ("CONNECT", "*", "not a name"),
        ("CONNECT", "a.example", "host:port"),
        ("CONNECT", "a.example:", "host:port"),
        ("CONNECT", "http://a.example:443", "not a name"),
        ("CONNECT", "u@a.example:443", "user name"),
    ],
)
def test_any_other_target_is_refused(method, target, detail):
    """Each with a detail that says what is wrong."""
    with pytest.raises(Malformed, match=detail):
        parse_target(method, target, HOST)


def test_a_secret_in_userinfo_is_not_quoted():
    """The detail goes to the record and the client; a password in the target must not be in it."""
    with pytest.raises(Malformed) as caught:
        parse_target("GET", "http://user:hunter2@a.example/", None)

    assert "hunter2" not in caught.value.detail


def test_host_is_read():
    """One field, whatever its case."""
    assert parse_host(request(b"hOsT: A.example:80").section) == parse_authority("a.example:80")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"Host: a", b"Host: a"), id="9112-3.2 more than one Host, though equal"),
        pytest.param((b"Host: a", b"X: y", b"host: b"), id="9112-3.2 more than one Host"),
        pytest.param((b"Host:",), id="an empty Host"),
        pytest.param((b"Host: a, b",), id="a list"),
        pytest.param((b"Host: a b",), id="SP within"),
        pytest.param((b"Host: http://a/",), id="a URL"),
        pytest.param((b"Host: a/b",), id="a path"),
        pytest.param((b"Host: u@a",), id="a user name"),
        pytest.param((b"Host: a:b",), id="9112-3.2 an invalid port"),
        pytest.param((b"Host: a:80:80",), id="two ports"),
        pytest.param((b"Host: [::1",), id="an open bracket"),
        pytest.param((b"Host: a%00",), id="percent-encoded"),
        pytest.param((b"Host: caf\xe9",), id="obs-text"),
        pytest.param((b"Host: a#b",), id="a fragment"),
    ],
)
def test_invalid_host_is_refused(fields):
    """RFC 9112, section 3.2: a server must answer each with 400."""
    with pytest.raises(Malformed):
        parse_host(request(*fields).section)


def test_a_host_may_be_missing_and_is_never_doubled():
    """HTTP/1.0 did not know the field, and admission knows the version; two are as ambiguous there."""
    assert parse_host(request(version=b"1.0").section) is None
    with pytest.raises(Malformed):
        parse_host(request(b"Host: a", b"Host: b", version=b"1.0").section)
