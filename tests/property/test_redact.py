"""Redaction by value: whatever the secret, its encoding and its place, the line is JSON and does not hold it.

The oracle shares nothing with what is tested: it decodes what it finds, and looks for the secret itself.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from urllib.parse import quote, quote_plus, unquote_to_bytes

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.config.secret import Secret
from proxy.exchange import Attempt, Exchange
from proxy.http.fields import build_section
from proxy.http.head import parse_request_head, parse_response_head
from proxy.traffic.record import EXCHANGE_CLOSED, RecordBuilder
from proxy.traffic.render import Renderer

SECRETS = st.one_of(
    st.text(min_size=6, max_size=40),
    st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!*'()/+=\"\\ ", min_size=6, max_size=64),
    st.binary(min_size=4, max_size=32).map(bytes.hex),
    st.binary(min_size=5, max_size=32).map(lambda raw: base64.b64encode(raw).decode()),
).filter(lambda secret: secret != "base64")
"""That one is a word of every record that has binary in it, and is masked there."""
ENCODINGS = {
    "plain": lambda text: text,
    "URL": lambda text: quote(text, safe=""),
    "URL path": quote,
    "URL form": quote_plus,
    "URL lower case": lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
    "URL every octet": lambda text: "".join(f"%{octet:02X}" for octet in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON bare": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "URL in JSON": lambda text: json.dumps(quote(text, safe=""))[1:-1],
    "JSON in URL": lambda text: quote(json.dumps(text), safe=""),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "Base64 0": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 1": lambda text: base64.b64encode(f"u:12{text}!".encode()).decode(),
    "Base64 2": lambda text: base64.b64encode(f"u:123{text}!".encode()).decode(),
    "Base64 URL": lambda text: base64.urlsafe_b64encode(f"u:{text}:~~??".encode()).decode().rstrip("="),
    "Base64 of URL": lambda text: base64.b64encode(f"id:{quote(text, safe='')}".encode()).decode(),
    "Base64 in URL": lambda text: quote(base64.b64encode(f"id:{text}".encode()).decode(), safe=""),
    "Base64 in JSON": lambda text: base64.b64encode(f"id:{text}".encode()).decode().replace("/", "\\/"),
}
PLACES = (
    "target",
    "url",
    "request header",
    "authorization",
    "location",
    "form",
    "json",
    "text",
    "binary",
    "gzip",
    "deflate",
    "answer",
    "error answer",
)
FILLER = "¦"
"""In no secret of these tests, and unescaped in none of their encodings."""


def build_exchange(place: str, encoded: str) -> Exchange:
    """Build an exchange that has ``encoded`` in one place."""
    octets = encoded.encode().decode("latin-1")
    plant = {place: octets if place in PLACES[:5] else encoded}
    exchange = Exchange("cad-1", 1_795_507_800.0, 0.0, "cad", "10.20.0.7")
    target = f"/p?q={plant.get('target', '')}"
    fields = [("Host", "cad"), ("X-Note", f"<{plant.get('request header', '')}>")]
    fields.append(("Authorization", f"Bearer {plant.get('authorization', '')}"))
    body, codings = build_body(place, plant)
    fields += codings
    exchange.request = request = parse_request_head(b"POST / HTTP/1.1\r\n\r\n")
    request.target, request.section = target, build_section(fields)
    exchange.request_body.add(body)
    exchange.response = response = parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n")
    response.section = build_section([("Location", f"https://h/{plant.get('location', '')}?a=b")])
    exchange.response_body.add(f"<p>{plant.get('answer', '')}{plant.get('error answer', '')}</p>".encode())
    exchange.attempts.append(Attempt(f"https://h/p?u={plant.get('url', '')}#f", reused=True, fingerprint=None))
    exchange.sent_authorization = "Bearer live"
    return exchange


def build_body(place: str, plant: dict[str, str]) -> tuple[bytes, list[tuple[str, str]]]:
    """Build the request's body, and the fields that say how it is compressed."""
    encoded = plant.get(place, "")
    match place:
        case "form":
            return f"a=1&note={encoded}&b=2".encode(), []
        case "json":
            return json.dumps({"note": encoded}, ensure_ascii=False).encode(), []
        case "binary":
            return b"\xff\xd8" + encoded.encode() + b"\xff\x00", []
        case "gzip":
            return gzip.compress(f"<{encoded}>".encode()), [("Content-Encoding", "gzip")]
        case "deflate":
            return zlib.compress(f"<{encoded}>".encode()), [("Content-Encoding", "deflate")]
    return f"note: {encoded if place == 'text' else ''}.".encode(), []


def render(exchange: Exchange, secret: str, cap: int = 65_536) -> bytes:
    """Render an exchange as the log would."""
    renderer = Renderer(
        RecordBuilder(cap=cap, shows_tokens=True), [Secret(secret, "test")], lambda: 0.0, shows_tokens=True
    )
    return renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange})


def strings(value: object) -> list[str]:
    """Return every string of a record."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return []


def readings(text: str) -> set[bytes]:
    """Return every way to read a text: as it is, and with escapes, Base64 and hex undone."""
    raws = {text.encode("utf-8", "surrogatepass"), text.encode("latin-1", "replace")}
    for _ in range(3):
        raws |= {unquote_to_bytes(raw) for raw in raws} | {undo_json(raw) for raw in raws}
    plain = set(raws)
    for raw in plain:
        for run in re.findall(rb"[A-Za-z0-9+/_-]{7,}", raw):
            runs = [run[start:] for start in range(4)]
            decoded = [decode_base64(run) for run in runs]
            raws.update(decoded)
            raws.update(map(unquote_to_bytes, decoded))
        for run in re.findall(rb"[0-9a-fA-F]{12,}", raw):
            raws.update(bytes.fromhex(run[start : start + (len(run) - start) // 2 * 2].decode()) for start in (0, 1))
    return raws


def decode_base64(run: bytes) -> bytes:
    """Decode Base64 of either alphabet, with or without its padding; a lone last character says nothing."""
    run = run.replace(b"+", b"-").replace(b"/", b"_")
    whole = run[:-1] if len(run) % 4 == 1 else run
    return base64.urlsafe_b64decode(whole + b"=" * (-len(whole) % 4))


def undo_json(raw: bytes) -> bytes:
    """Return text with one level of JSON's escapes undone."""
    text = re.sub(r'(?<!\\)"', "", raw.decode("utf-8", "surrogateescape"))
    text = re.sub(r'\\(?![\\/"bfnrtu])', "", text)
    try:
        return json.loads(f'"{text}"', strict=False).encode("utf-8", "surrogatepass")
    except (ValueError, UnicodeEncodeError):
        return raw


def holds(line: bytes, secret: str) -> bool:
    """Return whether a line gives a secret away to somebody who decodes what is in it."""
    record = json.loads(line)
    texts = strings(record)
    body = record["request"]
    found = {raw for text in texts for raw in readings(text)}
    if body["body_encoding"] == "base64":
        found |= readings(base64.b64decode(body["body"]).decode("latin-1"))
    wanted = {secret.encode(), secret.replace(" ", "+").encode()}
    return any(want in raw for want in wanted for raw in found)


@given(secret=SECRETS, encoding=st.sampled_from(sorted(ENCODINGS)), place=st.sampled_from(PLACES))
@settings(max_examples=400, deadline=None)
def test_no_secret_stands_in_a_line(secret, encoding, place):
    """In any place and any encoding; the line is one line of JSON."""
    assume(not holds(render(build_exchange(place, ""), "nothing-of-it"), secret))

    line = render(build_exchange(place, ENCODINGS[encoding](secret)), secret)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == EXCHANGE_CLOSED
    assert not holds(line, secret)


@given(secret=SECRETS, encoding=st.sampled_from(sorted(ENCODINGS)), place=st.sampled_from(PLACES))
@settings(max_examples=150, deadline=None)
def test_the_oracle_sees_what_is_not_masked(secret, encoding, place):
    """Without it, the test above would prove nothing."""
    assume("\\" not in secret)
    assume('"' not in secret)
    assume("%" not in secret)
    assume("+" not in secret)

    line = render(build_exchange(place, ENCODINGS[encoding](secret)), "nothing-of-it")

    assert holds(line, secret)


@given(
    secret=SECRETS.filter(lambda secret: FILLER not in secret),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    binary=st.booleans(),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_the_cap_leaves_no_beginning_of_a_secret(secret, encoding, binary, data):
    """Wherever it cuts."""
    encoded = ENCODINGS[encoding](secret).encode()
    least = len(ENCODINGS[encoding](secret[:4]).encode().rstrip(b"="))
    assume(least < len(encoded))
    kept = data.draw(st.integers(least, len(encoded)), label="kept")
    before = (b"\xff" if binary else b"") + FILLER.encode() * 20
    exchange = build_exchange("text", "")
    exchange.request_body.trim(0)
    exchange.request_body.add(before + encoded + FILLER.encode())

    line = render(exchange, secret, cap=len(before) + kept)

    request = json.loads(line)["request"]
    body = base64.b64decode(request["body"]) if request["body_encoding"] == "base64" else request["body"].encode()
    assert request["body_cut"] is True
    assert body.startswith(before)
    assert encoded[:kept] not in body


@given(token=st.from_regex(r"[A-Za-z0-9._~+/-]{6,60}={0,2}", fullmatch=True), place=st.sampled_from(PLACES))
@settings(max_examples=100, deadline=None)
def test_with_fingerprints_the_live_token_is_a_secret_too(token, place):
    """An upstream may send it back."""
    exchange = build_exchange(place, token)
    assume(not holds(render(build_exchange(place, ""), "nothing-of-it"), token))
    exchange.sent_authorization = f"Bearer {token}"
    builder = RecordBuilder(cap=65_536, shows_tokens=False)

    line = Renderer(builder, (), lambda: 0.0, shows_tokens=False)(
        None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange}
    )

    assert not holds(line, token)
