"""An upstream that gives back everything it was sent, the proxy's own credential too, in the form that a path names."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.upstream import Peer

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda seen: seen,
    "json": lambda seen: json.dumps({"seen": seen.decode("utf-8", "replace")}).encode(),
    "json-latin": lambda seen: json.dumps({"seen": seen.decode("latin-1")}, ensure_ascii=False).encode(),
    "json-in-json": lambda seen: json.dumps({"seen": json.dumps([seen.decode("utf-8", "replace")])}).encode(),
    "quoted": lambda seen: quote(seen).encode(),
    "quoted-whole": lambda seen: "".join(f"%{byte:02x}" for byte in seen).encode(),
    "base64": base64.b64encode,
    "base64-one-on": lambda seen: base64.b64encode(b"a" + seen),
    "base64-two-on": lambda seen: base64.urlsafe_b64encode(b"ab" + seen),
    "hex": lambda seen: seen.hex().encode(),
    "binary": lambda seen: b"\xff\0\xfe" + seen,
}
"""Bodies, by the last segment of the path."""
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda seen: seen,
}
"""Content codings; the last is not what it says."""
ODD = ("fields", "interim", "redirect", "reason", "unauthorized", "bad-head", "bad-chunk", "huge-head", "cut", "reset")
"""Answers that are more, or less, than a body."""
BREAKING = frozenset({"bad-head", "bad-chunk", "huge-head", "cut", "reset"})
"""Those that end the connection."""
PATHS = tuple(f"/{form}" for form in (*FORMS, *CODINGS, *ODD))


async def echo(peer: Peer) -> None:
    """Answer each request in the form that its path names; the script of a ``ScriptedUpstream``."""
    with contextlib.suppress(TimeoutError):  # of a connection that the proxy keeps for later
        while await _answer_one(peer):
            pass


async def _answer_one(peer: Peer) -> bool:
    """Answer one request; return whether another may follow."""
    head = await peer.read_head()
    seen = head + await _read_body(peer, head)
    form = head.split(b" ")[1].partition(b"?")[0].split(b"/")[1].decode()
    if form in FORMS:
        peer.send(_build_answer(FORMS[form](seen)))
    elif form in CODINGS:
        peer.send(_build_answer(CODINGS[form](seen), b"Content-Encoding: " + form.encode()))
    elif form == "reset":
        peer.reset()
    else:
        peer.send(_build_odd_answers(seen, _find(head, b"Authorization"))[form])
        await peer.flush()
    return form not in BREAKING


def _build_answer(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields, b"", body])


def _build_odd_answers(seen: bytes, login: bytes) -> dict[str, bytes]:
    """Build the answers that are more, or less, than a body; ``login`` is the credential that came."""
    where = b"https://elsewhere.invalid/?authorization=" + quote(login, safe="").encode()
    return {
        "fields": _build_answer(b"", b"X-Seen: " + login, b"Set-Cookie: seen=" + login, b"Authorization: " + login),
        "interim": b"HTTP/1.1 103 Early Hints\r\nX-Seen: " + login + b"\r\n\r\n" + _build_answer(b""),
        "redirect": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + where + b"\r\n\r\n",
        "reason": b"HTTP/1.1 403 " + login + b"\r\nContent-Length: 0\r\n\r\n",
        "unauthorized": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(login) + login,
        "bad-head": b"HTTP/1.1 200 OK\r\nX-Seen : " + login + b"\r\n" + login + b"\r\n\r\n",
        "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + login + b"\r\n",
        "huge-head": b"HTTP/1.1 200 OK\r\n" + (b"X-Seen: " + login + b"\r\n") * 3000,
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + seen,
    }


async def _read_body(peer: Peer, head: bytes) -> bytes:
    if b"\r\nTransfer-Encoding: chunked\r\n" in head:
        return await peer.read_chunked()
    return await peer.read_exactly(int(_find(head, b"Content-Length") or b"0"))


def _find(head: bytes, name: bytes) -> bytes:
    return next((line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(name + b":")), b"")
