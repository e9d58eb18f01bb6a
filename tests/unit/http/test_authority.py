"""Hosts and ports: only what every parser reads alike."""

import pytest

from proxy.http.authority import build_authority, is_local_name, parse_authority


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("API.RapidSOS.com", "api.rapidsos.com", None),
        ("api.rapidsos.com.", "api.rapidsos.com", None),
        ("api.rapidsos.com.:443", "api.rapidsos.com", 443),
        ("cad_server-2", "cad_server-2", None),
        ("localhost:8080", "localhost", 8080),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("[2001:DB8:0:0::1]", "2001:db8::1", None),
        ("[::ffff:10.0.0.1]", "::ffff:a00:1", None),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
        ("a:", "a", None),
        ("a" * 63 + ".b", "a" * 63 + ".b", None),
    ],
)
def test_host_is_read_in_one_spelling(text, host, port):
    """Lower case, no brackets, no final dot; an empty port is none (RFC 3986, section 3.2.3)."""
    authority = parse_authority(text)

    assert (authority.host, authority.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (":80", "empty"),
        ("@", "user name"),
        ("user@a", "user name"),
        ("user:secret@a", "user name"),
        ("a@b:80", "user name"),
        ("a%2eb", "percent-encoded"),
        ("%61", "percent-encoded"),
        ("caf\xe9.example", "xn--"),
        ("a\xad.b", "xn--"),
        ("a b", "not a name"),
        ("a,b", "not a name"),
        ("a/b", "not a name"),
        ("a\\b", "not a name"),
        ("a?b", "not a name"),
        ("a;b", "not a name"),
        ("a*", "not a name"),
        ("a..b", "not a name"),
        (".a", "not a name"),
        ("a..", "not a name"),
        (".", "not a name"),
        ("-a", "not a name"),
        ("a-.b", "not a name"),
        ("a" * 64, "not a name"),
        (".".join(["a" * 60] * 5), "not a name"),
        ("::1", "not a name"),
        ("a:b:80", "not a name"),
        ("[::1", "not a name"),
        ("::1]", "not a name"),
        ("[::1]a", "not a name"),
        ("[a]", "not an IPv6 address"),
        ("[]", "not a name"),
        ("[::1%25eth0]", "percent-encoded"),
        ("[127.0.0.1]", "not an IPv6 address"),
        ("[v1.x]", "not a name"),
        ("a:0", "a port"),
        ("a:65536", "a port"),
        ("a:000080", "a port"),
        ("a:" + "9" * 5000, "a port"),
        ("a:+80", "not a name"),
        ("a:-1", "not a name"),
        ("a:80 ", "not a name"),
        ("a:8o", "not a name"),
        ("a:\u0665", "xn--"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text, reason):
    """The reason is a sentence that says what is wrong."""
    with pytest.raises(ValueError, match=reason):
        parse_authority(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("cad-server", True),
        ("127.0.0.1", True),
        ("203.0.113.7", True),
        ("::1", True),
        ("cad.localhost", True),
        ("cad.local", True),
        ("proxy.home.arpa", True),
        ("proxy.county.internal", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("127.1", False),
        ("notlocal.com", False),
        ("evil-local.example", False),
        ("mylocal.xlocal", False),
        ("home.arpa", False),
    ],
)
def test_local_name_is_one_that_public_dns_never_answers(host, expected):
    """Addresses, single labels and reserved domains cannot be rebound; a name that merely resembles them can."""
    assert is_local_name(host) is expected
    assert parse_authority(f"[{host}]" if ":" in host else host).is_local is expected


def test_authority_is_built_with_brackets():
    """An IPv6 address needs them, with a port and without."""
    assert build_authority("a", None) == "a"
    assert build_authority("a", 80) == "a:80"
    assert build_authority("::1", None) == "[::1]"
    assert build_authority("::1", 80) == "[::1]:80"
