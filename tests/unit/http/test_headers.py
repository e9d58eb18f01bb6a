"""Fields on their way through: hop-by-hop ones out, ours in, everything else as it came."""

import pytest

from proxy.http.head import parse_request_head, parse_response_head
from proxy.http.headers import (
    HOP_BY_HOP,
    allows_reuse,
    build_client_head,
    build_interim_head,
    build_upstream_head,
    connection_options,
    wants_keep_alive,
)

TOKEN = "Bearer ours"


def request(*fields: str, line: str = "POST /in HTTP/1.1"):
    """Parse a request with these field lines."""
    return parse_request_head("\r\n".join([line, "Host: localhost", *fields]).encode("latin-1") + b"\r\n\r\n")


def response(*fields: str, status: int = 200, version: str = "1.1"):
    """Parse an answer with these field lines."""
    lines = [f"HTTP/{version} {status} Fine", *fields]
    return parse_response_head("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")


def to_upstream(*fields: str, line: str = "POST /in HTTP/1.1", chunked: bool = False):
    """Build what the upstream gets, and read it as the upstream would."""
    head = request(*fields, line=line)
    raw = build_upstream_head(head, "/v1/x%2F?a", "api.example", TOKEN, "rapidsos-proxy", chunked=chunked)
    return parse_request_head(raw)


def to_client(*fields: str, status: int = 200, chunked: bool = False, connection: str | None = None):
    """Build what the client gets, and read it as the client would."""
    head = response(*fields, status=status)
    return parse_response_head(build_client_head(head, "rapidsos-proxy", chunked=chunked, connection=connection))


def test_upstream_gets_our_line_and_our_fields():
    """Method as it came, the route's path, our Host, Via and exactly one Authorization."""
    head = to_upstream("Accept: */*", line="PaTcH /in HTTP/1.0")

    assert (head.method, head.target, head.minor) == ("PaTcH", "/v1/x%2F?a", 1)
    assert head.fields == [
        ("Host", "api.example"),
        ("Accept", "*/*"),
        ("Via", "1.0 rapidsos-proxy"),
        ("Authorization", TOKEN),
    ]


def test_other_fields_keep_order_case_and_duplicates():
    """What the proxy has no reason to touch passes both ways with its bytes."""
    fields = [
        "x-B: 1",
        "X-a: caf\xe9",
        "x-b: 2",
        "Via: 1.1 first",
        "Set-Cookie: a",
        "SET-COOKIE: b",
        "Content-Length: 0",
    ]
    pairs = [tuple(field.split(": ")) for field in fields]

    assert to_upstream(*fields).fields[1:-2] == pairs
    assert to_client(*fields).fields[:-1] == pairs


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_field_is_taken_out(name):
    """RFC 9110, section 7.6.1: what speaks of this connection alone ends here, in any case, as often as it stands."""
    fields = [f"{name.title()}: x", "X-Kept: 1", f"{name.upper()}: y"]

    assert name not in to_upstream(*fields).names
    assert name not in to_client(*fields).names
    assert "x-kept" in to_upstream(*fields).names


@pytest.mark.parametrize(
    "field",
    [
        "Authorization: Bearer theirs",
        "AUTHORIZATION: Basic eDp5",
        "Proxy-Authorization: Basic eDp5",
        "Host: evil.example",
        "Forwarded: for=10.0.0.1",
        "X-Forwarded-For: 10.0.0.1",
        "x-forwarded-host: a",
        "X-Forwarded-Anything: a",
        "X_Forwarded_For: 10.0.0.1",
        "X-Forwarded_Proto: http",
        "Proxy_Authorization: Basic eDp5",
        "Transfer_Encoding: gzip",
        "Content_Length: 7",
        "X-Real-IP: 10.0.0.1",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "x_rewrite_url: /admin",
        "X-Original-Host: evil.example",
        "X-HTTP-Host-Override: evil.example",
    ],
)
def test_what_the_client_must_not_say_does_not_reach_the_upstream(field):
    """The client's own login, a Host of its own, and the inside of the site."""
    head = to_upstream(field)
    value = field.partition(": ")[2]

    assert value not in [kept for _, kept in head.fields]
    assert head.all("authorization") == [TOKEN]
    assert head.all("host") == ["api.example"]


@pytest.mark.parametrize("options", ["X-Secret", "close, x-secret", "keep-alive ,\tX-SECRET,", ",,x-secret"])
def test_field_named_by_connection_is_taken_out(options):
    """RFC 9110, section 7.6.1: in one Connection field or in several."""
    assert "x-secret" not in to_upstream(f"Connection: {options}", "X-Secret: 1").names
    assert "x-secret" not in to_client(f"Connection: {options}", "X-Secret: 1").names
    assert "x-secret" not in to_upstream("Connection: close", f"Connection: {options}", "X-Secret: 1").names


@pytest.mark.parametrize("name", ["Authorization", "Host", "Via", "Content-Length", "Transfer-Encoding"])
def test_connection_cannot_strip_what_the_proxy_says(name):
    """``Connection: Authorization`` must not send a request on without its token, nor a body without its end."""
    plain = to_upstream(f"Connection: {name}", "Content-Length: 5")
    chunked = to_upstream(f"Connection: {name}", chunked=True)

    assert plain.all("authorization") == chunked.all("authorization") == [TOKEN]
    assert plain.all("host") == ["api.example"]
    assert plain.all("via") == ["1.1 rapidsos-proxy"]
    assert plain.all("content-length") == ["5"]
    assert chunked.all("transfer-encoding") == ["chunked"]
    assert to_client(f"Connection: {name}", "Content-Length: 5").all("content-length") == ["5"]


@pytest.mark.parametrize(
    ("line", "value", "expected"),
    [
        ("OPTIONS /in HTTP/1.1", "10", "9"),
        ("OPTIONS /in HTTP/1.1", "1", "0"),
        ("OPTIONS /in HTTP/1.1", "ten", "ten"),
        ("OPTIONS /in HTTP/1.1", "9" * 5000, "9" * 5000),
        ("GET /in HTTP/1.1", "10", "10"),
    ],
)
def test_max_forwards_is_counted_down_for_options(line, value, expected):
    """RFC 9110, section 7.6.2: for OPTIONS, where it is a number; other methods may leave it alone."""
    assert to_upstream(f"Max-Forwards: {value}", line=line).all("max-forwards") == [expected]


def test_client_gets_our_framing_and_connection():
    """The upstream's are gone; ours are there once."""
    head = to_client("Transfer-Encoding: chunked", "Connection: close", chunked=True, connection="keep-alive")

    assert (head.status, head.reason, head.minor) == (200, "Fine", 1)
    assert head.fields == [
        ("Via", "1.1 rapidsos-proxy"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "keep-alive"),
    ]


def test_204_has_no_length_and_304_keeps_it():
    """RFC 9110, section 8.6: a 204 must not have one; a 304's tells what a 200 would have."""
    assert "content-length" not in to_client("Content-Length: 0", status=204).names
    assert to_client("Content-Length: 5", status=304).all("content-length") == ["5"]


def test_interim_answer_passes_without_framing():
    """RFC 9110, section 15.2: a 103's links go on, hop-by-hop fields and lengths do not."""
    raw = build_interim_head(response("Link: </a>", "Content-Length: 0", "Connection: close", status=103))

    assert raw == b"HTTP/1.1 103 Fine\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: X, CLOSE",), False),
        ("1.1", ("Connection: keep-alive", "Connection: close"), False),
        ("1.1", ("Connection: closed",), True),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
    ],
)
def test_client_connection_is_kept_as_it_asks(version, fields, expected):
    """RFC 9112, section 9.3: close wins, HTTP/1.1 stays by default, HTTP/1.0 only where it asks."""
    assert wants_keep_alive(request(*fields, line=f"GET / HTTP/{version}")) is expected


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [("1.1", (), True), ("1.1", ("Connection: Close",), False), ("1.0", ("Connection: keep-alive",), False)],
)
def test_upstream_connection_is_reused_only_when_certain(version, fields, expected):
    """HTTP/1.1 without close, and nothing else."""
    assert allows_reuse(response(*fields, version=version)) is expected


def test_connection_options_of_all_fields_are_one_list():
    """RFC 9110, section 5.3: several lines are one list, empty entries aside."""
    assert connection_options(request("Connection: a, B", "Connection: ,\tc ,")) == {"a", "b", "c"}
    assert connection_options(request()) == frozenset()


def test_an_old_clients_expectation_goes_no_further():
    """RFC 9110, section 10.1.1: in HTTP/1.0 it means nothing, and what we send on is HTTP/1.1."""
    assert to_upstream("Expect: 100-continue", line="POST /in HTTP/1.0").all("expect") == []
    assert to_upstream("Expect: 100-continue").all("expect") == ["100-continue"]


def test_a_date_is_added_where_there_is_one_to_add():
    """RFC 9110, section 6.6.1: by whoever forwards an answer that has none."""
    raw = build_client_head(response(), "us", chunked=False, connection=None, date="Thu, 01 Jan 1970 00:00:00 GMT")

    assert parse_response_head(raw).all("date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert to_client().all("date") == []
