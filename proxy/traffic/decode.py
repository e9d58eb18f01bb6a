"""What of a body stands in the record: text, Base64, decompressed, or nothing and a reason.

The rule of this file: bounded work on the event loop, and no bytes in the record that redaction could not look
into.  What is compressed and cannot be decompressed is withheld, since a secret could hide in it.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.traffic.redact import may_have_escapes
from proxy.traffic.values import mask

if TYPE_CHECKING:
    from proxy.exchange import Body
    from proxy.http.head import RequestHead, ResponseHead
    from proxy.traffic.names import SecretNames
    from proxy.traffic.redact import Redactor

DECODE_MOST = 262_144
"""Bytes that decompression may give, whatever the cap of bodies is: half a millisecond of the event loop."""
UTF8 = "utf-8"
BASE64 = "base64"
LATIN_1 = "latin-1"
"""Has a character for each byte, so that bytes are masked as text is; legacy clients write it, too."""

_WINDOWS = {
    "gzip": (zlib.MAX_WBITS | 16,),
    "x-gzip": (zlib.MAX_WBITS | 16,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
"""Window arguments to try; "deflate" is zlib's format (RFC 9110, section 8.4.1.2), and some servers send it raw."""

_NO_BODY: dict[str, Any] = {"body": "", "body_encoding": UTF8, "body_bytes": 0, "body_cut": False}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The beginning of a decompressed body.

    Attributes:
        is_whole: Whether the compressed stream ended within it.
    """

    data: bytes
    is_whole: bool


class _Withheld(Exception):
    """A body cannot be shown; its argument says why."""


def describe_body(
    body: Body, head: RequestHead | ResponseHead, cap: int, redactor: Redactor, names: SecretNames
) -> dict[str, Any]:
    """Return a body's entries in the record.

    What a search of the rendered line would not find is masked here: by name always, by value what Base64, the cap
    or escapes hide.

    Args:
        body: What was seen of it; more may have been kept than the record wants.
        head: The head it came with.
        cap: Bytes of it that the record holds at most.
        redactor: Of the configured secrets.
        names: Of fields that hold secrets.
    """
    total = body.total
    if not total:
        return _NO_BODY
    data = body.joined()
    try:
        if "content-encoding" in head.section.names:
            coding = ", ".join(head.all("content-encoding")).lower()
            if coding != "identity":
                return _describe_compressed(body, coding, min(cap, DECODE_MOST), redactor, names)
        if total > cap or body.kept < total:
            return _describe_cut(data[:cap], total, redactor, names)
        return _describe(data, total, redactor, names)
    except _Withheld as withheld:
        return withhold_body(body, str(withheld))


def withhold_body(body: Body, reason: str) -> dict[str, Any]:
    """Return the entries of a body of which nothing is shown, for a reason in plain words."""
    if not body.total:
        return _NO_BODY
    return {**_build_entries(None, None, body.total, is_cut=True), "body_withheld": reason}


def _describe(data: bytes, total: int, redactor: Redactor, names: SecretNames) -> dict[str, Any]:
    """Describe a whole body."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        masked = _mask(data.decode(LATIN_1), redactor, names, LATIN_1)
        return _build_entries(_build_base64(masked), BASE64, total, is_cut=False)
    if names.may_be_in(data) or may_have_escapes(text):
        text = _mask(text, redactor, names)
    return {"body": text, "body_encoding": UTF8, "body_bytes": total, "body_cut": False}


def _describe_cut(data: bytes, total: int, redactor: Redactor, names: SecretNames) -> dict[str, Any]:
    """Describe the beginning of a body."""
    try:
        text = _decode_beginning(data)
    except UnicodeDecodeError:
        masked = redactor.mask_tail(_mask(data.decode(LATIN_1), redactor, names, LATIN_1))
        return _build_entries(_build_base64(masked), BASE64, total, is_cut=True)
    return _build_entries(redactor.mask_tail(_mask(text, redactor, names)), UTF8, total, is_cut=True)


def _describe_compressed(body: Body, coding: str, limit: int, redactor: Redactor, names: SecretNames) -> dict[str, Any]:
    """Describe what a compressed body says, as far as it can be read."""
    decoded = decompress(coding, body.joined(), limit) if limit else Decoded(b"", is_whole=False)
    if decoded is None:
        reason = f"its content coding, {coding}, could not be undone"
        raise _Withheld(reason)
    describe = _describe if decoded.is_whole else _describe_cut
    return {**describe(decoded.data, body.total, redactor, names), "body_decoded": coding}


def _mask(text: str, redactor: Redactor, names: SecretNames, encoding: str = UTF8) -> str:
    """Mask a text by value, then by name: a name's value ends where a secret of odd characters may go on."""
    shown = mask(_mask_values(text, redactor).encode(encoding), names)
    if shown is None:
        reason = "it has too many fields whose values would have to be masked"
        raise _Withheld(reason)
    return shown.decode(encoding)


def _mask_values(text: str, redactor: Redactor) -> str:
    masked = redactor.try_mask(text)
    if masked is None:
        reason = "it has too many escapes, or too many inside each other, to be searched for secrets"
        raise _Withheld(reason)
    return masked


def _build_entries(content: str | None, encoding: str | None, total: int, *, is_cut: bool) -> dict[str, Any]:
    return {"body": content, "body_encoding": encoding, "body_bytes": total, "body_cut": is_cut}


def _build_base64(text: str) -> str:
    return base64.b64encode(text.encode(LATIN_1)).decode()


def _decode_beginning(data: bytes) -> str:
    """Decode UTF-8, without a character that the cut has split."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return data[: error.start].decode()
        raise


def decompress(coding: str, data: bytes, limit: int) -> Decoded | None:
    """Return up to ``limit`` bytes of what was compressed; None when it cannot be read.

    Only the first member of a gzip stream is read: many small ones are an attack on whoever unpacks them.
    """
    for window in _WINDOWS.get(coding, ()):
        stream = zlib.decompressobj(window)
        try:
            # One more than wanted, to see whether there is more; 0 would mean no limit.
            plain = stream.decompress(data, limit + 1)
        except zlib.error:
            continue
        is_whole = stream.eof and not stream.unused_data and len(plain) <= limit
        return Decoded(plain[:limit], is_whole)
    return None
