"""Admission: foreign hosts, rebound names, web pages of other origins and loops are refused before any route."""

import contextlib
import re

import pytest

from proxy.errors import CrossSite, Loop, Malformed, MethodNotAllowed, TargetNotAllowed, WrongHost
from proxy.http.admission import Admission, check_tunnelled, has_own_via, is_same_origin
from proxy.http.head import parse_request_head
from proxy.http.targets import Target

ADMISSION = Admission(
    names=["rapidsos.cad.example", "Dispatch7.county.example"],
    routed_hosts=["api-sandbox.rapidsos.com"],
    allow_origins=["https://cad.example"],
    pseudonym="rapidsos-proxy-7f3a",
)
US = "rapidsos-proxy-7f3a"
INTERCEPTING = Admission(
    names=[], routed_hosts=["api-sandbox.rapidsos.com"], allow_origins=[], pseudonym=US, intercepts=True
)


def request(*fields: str, line: str = "GET /x HTTP/1.1", host: str | None = "localhost:8080"):
    """Parse a request with these field lines."""
    lines = [line, *([] if host is None else [f"Host: {host}"]), *fields]
    return parse_request_head("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1:8080",
        "[::1]:8080",
        "10.20.0.5",
        "203.0.113.9",
        "cadproxy",
        "CADPROXY:80",
        "proxy.local",
        "a.b.localhost",
        "proxy.internal",
        "rapidsos.cad.example",
        "RAPIDSOS.cad.example.:8080",
        "dispatch7.county.example",
        "api-sandbox.rapidsos.com",
        "api-sandbox.rapidsos.com:8080",
    ],
)
def test_own_host_is_admitted(host):
    """An address, a local name, the machine's name, one of ``names`` and a routed host, on whatever port."""
    target = ADMISSION.admit(request(host=host))

    assert target.form == "origin"
    assert target.path == "/x"


def test_only_http_10_may_lack_a_host():
    """RFC 9112, section 3.2: without one, HTTP/1.1 is answered with 400."""
    ADMISSION.admit(request(host=None, line="GET /x HTTP/1.0"))
    with pytest.raises(Malformed, match="exactly one Host"):
        ADMISSION.admit(request(host=None))


@pytest.mark.parametrize(
    ("host", "is_admitted"),
    [
        ("127.0.0.1:8080", True),
        ("[::1]", True),
        ("dispatch7.county.example", True),
        ("cadproxy", False),
        ("proxy.local", False),
        ("proxy.internal", False),
        ("localhost", False),
    ],
)
def test_local_names_are_ours_only_where_they_are_trusted(host, is_admitted):
    """A neighbour can answer mDNS and LLMNR; an address it cannot rebind, nor a name that we were told."""
    strict = Admission(
        names=["dispatch7.county.example"],
        routed_hosts=[],
        allow_origins=[],
        pseudonym="p",
        trusts_local_names=False,
    )

    with contextlib.nullcontext() if is_admitted else pytest.raises(WrongHost):
        strict.admit(request(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "rapidsos.cad.example.evil.example",
        "xrapidsos.cad.example",
        "cad.example",
        "api.rapidsos.com",
        "rapidsos.com",
    ],
)
def test_name_that_could_be_rebound_is_421_and_says_how_to_allow_it(host):
    """A page whose DNS name its owner points at us sends that name as Host."""
    with pytest.raises(WrongHost) as caught:
        ADMISSION.admit(request(host=host))

    assert f'names = ["{host}"]' in caught.value.detail


def test_http_10_without_a_host_is_admitted():
    """No browser speaks HTTP/1.0, so there is nothing to rebind."""
    assert ADMISSION.admit(request(line="GET /x HTTP/1.0", host=None)).host is None


def test_absolute_form_to_a_routed_host_is_admitted_whatever_host_says():
    """RFC 9112, section 3.2.2: the target's authority wins, so a Host that would be wrong alone does not matter."""
    target = ADMISSION.admit(request(line="GET http://API-sandbox.rapidsos.com/v1 HTTP/1.1", host="evil.example"))

    assert target == Target("absolute", "http", "api-sandbox.rapidsos.com", None, "/v1")


@pytest.mark.parametrize(
    "authority",
    ["evil.example", "169.254.169.254", "127.0.0.1:8080", "localhost", "[::1]", "rapidsos.cad.example", "rapidsos.com"],
)
def test_absolute_form_to_any_other_host_is_403(authority):
    """Metadata addresses, ourselves and the listener's own names included: only routed hosts are forwarded to."""
    with pytest.raises(TargetNotAllowed, match="no route names"):
        ADMISSION.admit(request(line=f"GET http://{authority}/ HTTP/1.1", host="api-sandbox.rapidsos.com"))


def test_invalid_host_beside_absolute_form_is_malformed():
    """RFC 9112, section 3.2, makes no exception for a Host that will be ignored."""
    line = "GET http://api-sandbox.rapidsos.com/ HTTP/1.1"
    for host, more in ((None, ()), ("a b", ()), ("a", ("Host: b",))):
        with pytest.raises(Malformed):
            ADMISSION.admit(request(*more, line=line, host=host))


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("TRACE / HTTP/1.1", "have the client, or the scanner, use another method"),
        (
            "CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1",
            "no token can be put into a tunnel; change https:// to http:// in the client's RapidSOS URLs",
        ),
        ("CONNECT x HTTP/1.1", "no token can be put into a tunnel"),
    ],
)
def test_trace_and_connect_are_405(line, step):
    """TRACE would show the client our token; a tunnel could carry none.  The next step is told."""
    with pytest.raises(MethodNotAllowed, match=re.escape(step)):
        ADMISSION.admit(request(line=line))


def test_connect_to_a_routed_host_is_for_a_listener_that_intercepts():
    """Its own target says which host; Host, which some clients fill in with the proxy's, is only looked at."""
    head = request(line="CONNECT API-SANDBOX.rapidsos.com:443 HTTP/1.1", host="10.0.0.5:8080")

    assert INTERCEPTING.admit(head) == Target("authority", None, "api-sandbox.rapidsos.com", 443, "")


@pytest.mark.parametrize(
    ("line", "more", "host", "refusal"),
    [
        ("CONNECT evil.example:443 HTTP/1.1", (), "a", TargetNotAllowed),
        ("CONNECT localhost:443 HTTP/1.1", (), "a", TargetNotAllowed),
        ("CONNECT api-sandbox.rapidsos.com HTTP/1.1", (), "a", Malformed),
        ("CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1", (), None, Malformed),
        ("CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1", ("Content-Length: 10",), "a", Malformed),
        ("CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1", ("Transfer-Encoding: chunked",), "a", Malformed),
        ("CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1", ("Origin: null",), "a", CrossSite),
        ("CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1", (f"Via: 1.1 {US}",), "a", Loop),
        ("TRACE / HTTP/1.1", (), "a", MethodNotAllowed),
    ],
)
def test_any_other_connect_is_refused_there_as_well(line, more, host, refusal):
    """A foreign host, no port, no Host, a body, a web page, a circle; and TRACE remains what it is."""
    with pytest.raises(refusal):
        INTERCEPTING.admit(request(*more, line=line, host=host))


def test_a_request_in_a_tunnel_is_for_the_tunnels_host():
    """One that names none is for it; the port is the route's to say; any other host is 421."""
    unnamed = Target("origin", None, None, None, "/")
    check_tunnelled(unnamed, "a.example")
    check_tunnelled(Target("absolute", "https", "a.example", 8443, "/"), "a.example")

    assert unnamed.host == "a.example"
    with pytest.raises(WrongHost, match=r"a\.example, and the request in it for b\.example"):
        check_tunnelled(Target("origin", None, "b.example", None, "/"), "a.example")


def test_methods_are_compared_case_included():
    """RFC 9110, section 9.1: ``trace`` is another method, which goes upstream as it is."""
    assert ADMISSION.admit(request(line="trace / HTTP/1.1")).path == "/"


@pytest.mark.parametrize(
    "fields",
    [
        ("Origin: http://localhost:8080",),
        ("Origin: HTTP://LOCALHOST:8080",),
        ("Origin: https://cad.example",),
        ("Origin: https://CAD.example", "Sec-Fetch-Site: cross-site"),
        ("Sec-Fetch-Site: same-origin",),
        ("Sec-Fetch-Site: same-site",),
        ("Sec-Fetch-Site: none",),
        ("X-Origin: http://evil.example",),
    ],
)
def test_own_and_allowed_pages_are_admitted(fields):
    """A page that we served, one that the listener allows, and what no page has made."""
    assert ADMISSION.admit(request(*fields)).path == "/x"


@pytest.mark.parametrize(
    "fields",
    [
        ("Origin: http://evil.example",),
        ("Origin: null",),
        ("Origin:",),
        ("Origin: http://localhost:3000",),
        ("Origin: http://localhost",),
        ("Origin: http://cad.example",),
        ("Origin: https://cad.example:8443",),
        ("Origin: https://cad.example/",),
        ("Origin: https://cad.example.evil.example",),
        ("Origin: http://localhost:8080 http://evil.example",),
        ("Origin: http://localhost:8080@evil.example",),
        ("Origin: chrome-extension://abcdef",),
        ("Origin: http://localhost:8080", "Origin: http://evil.example"),
        ("Origin: http://evil.example", "Sec-Fetch-Site: same-origin"),
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: Cross-Site",),
        ("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
    ],
)
def test_page_of_another_origin_is_403(fields):
    """A page that a dispatcher has open must not speak to RapidSOS through us."""
    with pytest.raises(CrossSite):
        ADMISSION.admit(request(*fields))


def test_page_is_compared_with_the_host_asked_for():
    """Through ``http_proxy`` a browser asks for RapidSOS by URL: only a page of RapidSOS's own may."""
    line = "GET http://api-sandbox.rapidsos.com/ HTTP/1.1"

    assert ADMISSION.admit(request("Origin: http://api-sandbox.rapidsos.com", line=line)).host
    with pytest.raises(CrossSite):
        ADMISSION.admit(request("Origin: http://localhost:8080", line=line))


def test_refused_page_is_told_how_to_be_allowed():
    """The detail names the key of the configuration."""
    with pytest.raises(CrossSite, match="allow_origins"):
        ADMISSION.admit(request("Origin: http://evil.example"))


@pytest.mark.parametrize(
    ("origin", "host", "port", "expected"),
    [
        ("http://a", "a", None, True),
        ("http://a:80", "a", None, True),
        ("http://a", "a", 80, True),
        ("https://a", "a", 443, True),
        ("https://a", "a", 80, False),
        ("http://[::1]:8080", "::1", 8080, True),
        ("http://a", None, None, False),
        ("http://a.", "a", None, True),
        ("http://", None, None, False),
        ("http://b", "a", None, False),
    ],
)
def test_origin_and_host_are_compared_with_the_ports_they_imply(origin, host, port, expected):
    """The default port of the origin's scheme may be written or not, on either side."""
    assert is_same_origin(origin, Target("origin", None, host, port, "/")) is expected


@pytest.mark.parametrize(
    "via",
    [
        "1.1 rapidsos-proxy-7f3a",
        "1.0 fred, 1.1 Rapidsos-Proxy-7F3A (aiohttp)",
        "HTTP/1.1 rapidsos-proxy-7f3a",
        "1.1 a (b, (c) d),\t1.1\trapidsos-proxy-7f3a",
        "1.1 rapidsos-proxy-7f3a,1.1 b",
    ],
)
def test_own_name_in_via_is_a_loop(via):
    """RFC 9110, section 7.6.3: whoever received it before is the second word of an entry."""
    with pytest.raises(Loop):
        ADMISSION.admit(request("Via: 1.1 first", f"Via: {via}"))


@pytest.mark.parametrize(
    "via",
    [
        "1.1 rapidsos-proxy-7f3",
        "1.1 rapidsos-proxy-7f3ab",
        "1.1 other (rapidsos-proxy-7f3a)",
        "1.1 other (x, 1.1 rapidsos-proxy-7f3a)",
        "rapidsos-proxy-7f3a other",
        "rapidsos-proxy-7f3a",
        "",
        "(" * 50 + "rapidsos-proxy-7f3a",
    ],
)
def test_other_names_in_via_are_no_loop(via):
    """Another proxy of the same make, or our name in a comment, is no loop."""
    assert not has_own_via(request(f"Via: {via}"), "rapidsos-proxy-7f3a")
    assert ADMISSION.admit(request(f"Via: {via}"))
