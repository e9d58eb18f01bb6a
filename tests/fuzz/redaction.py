"""Secrets and live tokens in documents of any shape: no line holds them, and every line is one line of JSON.

What finds them shares nothing with what masks them (harness/canaries.py).
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from harness.canaries import Canary, Leak, Search

from fuzz.supply import Supply
from proxy.config.secret import Secret
from proxy.exchange import Attempt, Exchange
from proxy.http.fields import build_section
from proxy.http.head import parse_request_head, parse_response_head
from proxy.traffic.record import EXCHANGE_CLOSED, RecordBuilder
from proxy.traffic.render import Renderer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECRETS = ("Zq8vK3mWx7LpR2tYbN5c", "hT4/gD9+sJ6=fQ1&wE0uXoMa", 'Pö7rkVnG2\\zB"8yCdLs3F%41')
TOKEN = "Lk5jHg9fDs3aQw7eRt1y.Ui6oPz2xCv8b"
SEARCH = Search([*(Canary(f"secret {number}", value) for number, value in enumerate(SECRETS)), Canary("token", TOKEN)])

ENCODINGS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(json.dumps(text))[1:-1],
    lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    escape,
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: text.encode().hex(),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(f":{text}".encode()).decode(),
    lambda text: quote(base64.b64encode(f"ab{text}".encode()).decode(), safe=""),
    lambda text: quote(json.dumps(text), safe=""),
)
PLACES = ("body", "answer", "compressed", "target", "field", "location", "url")
BODIES = PLACES[:3]
CAP = 512
BY_NAME = "Nm4wXc6vBn8mQa2sWd0f"
NAMED = Search([Canary("named", BY_NAME)])
DOCUMENTS = (
    '{{"client_secret":"{}"}}',
    "grant_type=password&password={}",
    "<a><Password>{}</Password></a>",
    '{{"a":[{{"api_key":"{}"}}],"b":null}}',
    'x: "{{\\"token\\":\\"{}\\"}}"',
)
SEEDS = (
    b"\x00\x00\x00\x00\x10" + b'{"note":"' + b'"}',
    b"\x01\x01\x03\x01\x00a=1&note=&b=2",
    b"\x02\x02\x06\x00\x05<p></p>%25\\u0025&amp;",
    b"\x00\x03\x04\x02\x08aGVsbG8=\xff\xfe",
    b"\x03\x00\x01\x03\x02?q=%%&token=x#f",
    b"\x05\x01\x08\x00\x06https://u:p@h/&#37;",
    b"\x00\x01\x0a\x01\x40" + b"x" * 600,
)


def _build_renderer(secrets: Iterable[str], cap: int = 1 << 16) -> Renderer:
    builder = RecordBuilder(cap=cap, shows_tokens=False)
    return Renderer(builder, [Secret(value, "fuzz") for value in secrets], lambda: 0.0, shows_tokens=False)


@lru_cache(maxsize=1)
def _renderers() -> tuple[Renderer, Renderer]:
    return _build_renderer(SECRETS, CAP), _build_renderer(SECRETS)


def fuzz_one(data: bytes) -> None:
    """Take place, secret, encoding, cap and position, and the document around the secret."""
    supply = Supply(data)
    place = supply.choose(PLACES)
    secret = supply.choose((*SECRETS, TOKEN))
    encoded = supply.choose(ENCODINGS)(secret)
    renderer = supply.choose(_renderers())
    at = supply.take_number() * 4
    document = supply.take_rest()
    check(
        renderer,
        build_exchange(place, document[:at] + encoded.encode() + document[at:]),
        SEARCH,
        build_exchange(place, document),
    )
    if place in BODIES:
        # Its name alone tells this one; what follows it is the fuzzer's.
        named = DOCUMENTS[at // 4 % len(DOCUMENTS)].format(BY_NAME).encode()
        check(renderer, build_exchange(place, named + b"\n" + document), NAMED, build_exchange(place, document))


def check(renderer: Renderer, exchange: Exchange, search: Search, without: Exchange) -> None:
    """Assert that the line of an exchange is one, is JSON, and holds none of what is searched for.

    A fuzzer learns from what is compared: a document that has parts of a secret by itself, as ``without`` shows, says
    nothing.
    """
    line = render(renderer, exchange)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record = json.loads(line)
    assert record["event"] == EXCHANGE_CLOSED
    assert line[:-1].decode().isprintable() or not line.isascii()
    found = find(search, line)
    assert not found or find(search, render(_build_renderer(()), without)), (found, line)


def render(renderer: Renderer, exchange: Exchange) -> bytes:
    """Return the line of an exchange."""
    return renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange})


def find(search: Search, line: bytes) -> list[Leak]:
    """Return what is found in a line, and in the bodies that it has in Base64."""
    record = json.loads(line)
    found = search.find(line)
    for message in (record["request"], record["response"]):
        if message["body_encoding"] == "base64":
            found += search.find(base64.b64decode(message["body"]))
    return found


def build_exchange(place: str, text: bytes) -> Exchange:
    """Build an exchange that has ``text`` in one place, as far as it can stand there."""
    visible = "".join(
        character for character in text.decode("latin-1") if "!" <= character <= "~" or character > "\x9f"
    )
    plant = {place: visible}
    exchange = Exchange("fuzz-1", 1_795_507_800.0, 0.0, "cad", "10.20.0.7")
    exchange.request = request = parse_request_head(b"POST / HTTP/1.1\r\n\r\n")
    request.target = f"/p?q={plant.get('target', '')}"
    fields = [("Host", "cad"), ("X-Note", plant.get("field", ""))]
    if place == "compressed":
        fields.append(("Content-Encoding", "gzip"))
        exchange.request_body.add(gzip.compress(text, mtime=0))
    elif place == "body":
        exchange.request_body.add(text)
    request.section = build_section(fields)
    exchange.response = response = parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n")
    response.section = build_section([("Location", plant.get("location", ""))])
    if place == "answer":
        exchange.response_body.add(text)
    exchange.attempts.append(Attempt(f"https://h/p?q={plant.get('url', '')}", reused=True, fingerprint=None))
    exchange.sent_authorization = f"Bearer {TOKEN}"
    return exchange
