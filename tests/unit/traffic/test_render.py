"""The line that is written: what it may cost, and what stands raw in it."""

import json
import unicodedata
from urllib.parse import quote

import pytest

from proxy.config.secret import Secret
from proxy.http.fields import build_section
from proxy.traffic.record import EXCHANGE_CLOSED, RecordBuilder
from proxy.traffic.render import Renderer

SIZE = 65_536
RECORDS = [{"id": number, "remarks": 'caller said "smoke" & left\n'} for number in range(800)]
BODIES = {
    "JSON": json.dumps(RECORDS),
    "JSON in JSON": json.dumps({"message": json.dumps(RECORDS), "password": "x"}),
    "JSON in a form": f"message={quote(json.dumps(RECORDS))}&token=x",
    "mixed escapes": '\\\\\\"%25&amp;amp;%5c\\u0025' * 3000,
    "more mixed escapes": "%26#x5c;u0026#37;41" * 4000,
    "escaped members": '{\\"a\\":\\"b%20c&amp;\\"},' * 3200,
    "secret members": '{\\"token\\":\\"x\\"},' * 4000,
    "open members": '"token":["' * 7000,
    "backslashes": "\\" * SIZE,
    "references": "&#65;" * 14_000,
}


@pytest.fixture
def render():
    """Return a function that renders an exchange."""
    secrets = [Secret(secret, "test") for secret in ("simulator-secret-0123", "another+pass/word%20here", "third-id")]
    renderer = Renderer(RecordBuilder(cap=SIZE, shows_tokens=True), secrets, lambda: 0.0, shows_tokens=True)
    return lambda exchange: renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange})


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_cost_of_a_record_does_not_grow_with_the_escapes_of_its_body(render, make_exchange, count_calls, body):
    """64 KB of them once made 100,000 calls, and so 50 ms for which no other client was served."""
    exchange = make_exchange(body=body.encode()[:SIZE])
    render(exchange)

    assert count_calls(lambda: render(exchange)) < 15_000


@pytest.mark.parametrize("name", ["JSON", "JSON in JSON", "JSON in a form"])
def test_ordinary_bodies_stand_in_the_record(render, make_exchange, name):
    """One level of escapes is everyday traffic; only the value of a secret field is gone."""
    body = BODIES[name][:SIZE]

    request = json.loads(render(make_exchange(body=body.encode())))["request"]

    assert "body_withheld" not in request
    assert request["body"][20:-1000] in body


@pytest.mark.parametrize(
    "control",
    ["\x7f", "\x80", "\x85", "\x9b", "\x9f", "\u061c", "\u200e", "\u2028", "\u2029", "\u202e", "\u2066", "\u2069"],
)
def test_what_a_terminal_obeys_or_a_tool_splits_at_is_escaped(render, make_exchange, control):
    """JSON allows it raw; whoever reads the log has neither a line in two nor a terminal that does as it is told."""
    line = render(make_exchange(answer=f"a{control}b".encode()))

    assert control not in line.decode()
    assert f"\\u{ord(control):04x}" in line.decode()
    assert json.loads(line)["response"]["body"] == f"a{control}b"


def test_in_a_line_there_is_no_control_but_its_end(render, make_exchange):
    """Whatever a head or a body has."""
    everything = "".join(map(chr, range(0x300))) + "".join(map(chr, range(0x2000, 0x2070)))
    exchange = make_exchange(fields=(f"X-A: {''.join(map(chr, range(0x80, 0x100)))}",), answer=everything.encode())

    line = render(exchange).decode()

    assert {unicodedata.category(character) for character in line[:-1]}.isdisjoint({"Cc", "Zl", "Zp"})
    assert line.splitlines(keepends=True) == [line]
    assert json.loads(line)["response"]["body"] == everything


def test_other_letters_stay_as_they_are(render, make_exchange):
    """A log in any language can be read as it is."""
    text = "São Paulo, 東京, Київ „x“ € 😀"

    assert text in render(make_exchange(answer=text.encode())).decode()


def test_with_fingerprints_a_record_costs_the_same_whoever_asks(make_exchange, count_calls):
    """With more tokens in turn than were remembered, all searches were built anew for each record once."""
    renderer = Renderer(RecordBuilder(cap=SIZE, shows_tokens=False), (), lambda: 0.0, shows_tokens=False)
    exchanges = [make_exchange(authorization=f"Bearer token-of-person-{number:04}") for number in range(200)]
    for exchange in exchanges:
        renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange})

    costs = [
        count_calls(lambda: renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange}))  # noqa: B023 (at once)
        for exchange in exchanges
    ]

    assert max(costs) <= min(costs) + 5


def test_a_secret_more_costs_no_work_for_those_known(count_calls):
    """Their forms are kept; what is built anew is the search."""
    secrets = [Secret(f"secret-number-{number:04}", "test") for number in range(100)]
    renderer = Renderer(RecordBuilder(cap=SIZE, shows_tokens=True), secrets, lambda: 0.0, shows_tokens=True)
    at_start = count_calls(lambda: Renderer(RecordBuilder(cap=0, shows_tokens=True), secrets, float, shows_tokens=True))

    assert count_calls(lambda: renderer.learn([Secret("a-secret-more", "test")])) < at_start / 5


@pytest.mark.parametrize("place", ["target", "location", "url"])
def test_a_secret_that_goes_on_behind_its_field_is_masked_whole(make_exchange, place):
    """A client that does not escape it: by its name alone, what stands behind the ``&`` would stay."""
    secret = "hT4/gD9+sJ6=fQ1&wE0uXoMa"
    exchange = make_exchange()
    exchange.request.target = f"/p?secret={secret}&x=1"
    exchange.attempts[0].url = f"https://h/p?secret={secret}&x=1"
    exchange.response.section = build_section([("Location", f"https://h/p?secret={secret}&x=1"), ("Server", "y")])
    renderer = Renderer(RecordBuilder(cap=SIZE, shows_tokens=True), [Secret(secret, "test")], float, shows_tokens=True)

    record = json.loads(renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange}))

    shown = {
        "target": record["request"]["target"],
        "location": dict(record["response"]["headers"])["Location"],
        "url": record["attempts"][0]["url"],
    }
    assert shown[place].endswith("/p?secret=***&x=1")
    assert dict(record["response"]["headers"])["Server"] == "y"
