"""A token that went into the query does not come back in an answer's head."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from proxy.http.head import ResponseHead, parse_response_head
from proxy.relay.echoes import Echoes
from proxy.tokens.token import build_token

TOKEN = "b2d6ca+6a59af0532871/bcdf525b9="
OTHER = "d2d6ca6a59af0532871bcdf525b90000"


def build_echoes() -> Echoes:
    """Expect two tokens."""
    echoes = Echoes(lambda: 0.0)
    for value in (TOKEN, OTHER):
        echoes.expect(build_token(value, 3600.0, sent_at=0.0, dice=0.5))
    return echoes


def build_head(*fields: str, reason: str = "Moved") -> ResponseHead:
    """Parse an answer's head."""
    return parse_response_head("\r\n".join([f"HTTP/1.1 301 {reason}", *fields, "", ""]).encode())


SPELLINGS = {
    "plain": TOKEN,
    "as it was sent": quote(TOKEN, safe="*"),
    "in lower case": quote(TOKEN, safe="").lower(),
    "encoded twice": quote(quote(TOKEN, safe=""), safe=""),
    "every octet": "".join(f"%{octet:02x}" for octet in TOKEN.encode()),
    "in XML": TOKEN.replace("/", "&#47;"),
    "in Base64": base64.b64encode(f"/v1?a=b&token={TOKEN}".encode()).decode()[12:],
    "another that is alive": OTHER,
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("name", ["Location", "Content-Location", "Link", "Refresh", "X-Url"])
def test_no_field_shows_it(name: str, spelling: str) -> None:
    """In no encoding; all else of the head stays."""
    head = build_head("A: 1", f"{name}: https://h/other/?b=%41&token={spelling}", "a: 2")

    hidden = build_echoes().hide(head)

    (first, (shown, value), last) = hidden.fields
    assert (first, shown, last) == (("A", "1"), name, ("a", "2"))
    assert "***" in value
    assert spelling not in value
    assert hidden.status == 301


def test_what_stands_around_it_stays() -> None:
    """A client that follows is given a token of its own; the mask in its query is taken out."""
    head = build_head(f"Location: /v1?a=%2F&token={quote(TOKEN)}&c=1#f", f"Link: </p?token={TOKEN}>; rel=next")

    fields = build_echoes().hide(head).fields

    assert fields == [("Location", "/v1?a=%2F&token=***&c=1#f"), ("Link", "</p?token=***>; rel=next")]


def test_the_reason_does_not_show_it_either() -> None:
    """Some servers write the new address there."""
    assert build_echoes().hide(build_head(reason=f"see /x?token={TOKEN}")).reason == "see /x?token=***"


def test_a_head_without_it_is_the_same_one() -> None:
    """Nearly every one is, with or without escapes; what is worked out from its section is kept."""
    echoes = build_echoes()

    for head in (build_head("A: b", "C: d"), build_head("Location: /v1?a=%2F&b=c", "A: b")):
        assert echoes.hide(head) is head
