r"""Escapes undone: URL, JSON and XML, in any order and many deep, at a price that whoever writes a body cannot raise.

The rule of this file: text is folded to a form in which its escaped and its plain spelling are the same bytes; secrets
are folded alike, and sought there.  So not each order of escapes must be tried.  Every step runs in C, since a call
for each escape would take 50 ms of the event loop for a body of 64 KB; this takes two at the worst
(tests/bench/hostile_bodies.py).  A thread would not help: ``re`` holds the interpreter while it works.

What the folded form does not tell apart, so that a step has no state: backslashes and percent signs are left out, a
newline is the letter of its escape.  Beyond ASCII, ``\u00e9`` and ``&#8364;`` stay as they are (but
for the backslash): secrets are sought in these spellings too.
"""

from __future__ import annotations

import binascii
import re

PASSES = 5
"""Each undoes a level of URLs, with what is inside; JSON inside JSON inside JSON is one."""
SPARE = 100
PER_BYTE = 0.15
"""What may be spent on a text, in steps of about 0.1 µs: enough for any that is escaped once by some encoder."""

EQUALS = b"\x01"
"""In the place of an equals sign while that stands for a percent sign; the two are one to us."""
_LETTERS = bytes.maketrans(b"\b\f\n\r\t" + EQUALS, b"bfnrt=")
_TO_PRINTABLE = bytes.maketrans(b"%=", b"=" + EQUALS)
_FROM_PRINTABLE = bytes.maketrans(b"\b\f\n\r\t=" + EQUALS, b"bfnrt%=")
_PERCENTS = re.compile(rb"%%%+")
_AMPERSANDS = re.compile(rb"&(?:amp;)+")
_JSON_ASCII = re.compile(rb"\\u00(?=[0-7][0-9a-fA-F])")
_REFERENCE = re.compile(rb"&#0*([1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5]|[xX]0*[1-9a-fA-F][0-9a-fA-F]?);")
_REFERENCES = {
    form: chr(code).encode().translate(_LETTERS)
    for code in range(1, 256)
    for form in (b"%d" % code, *(b"x%x" % code, b"x%X" % code, b"x%04x" % code, b"x%04X" % code))
}
_NAMED = ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"))
"""XML 1.0, section 4.6; LIS speaks XML."""
_UNFINISHED = re.compile(rb"(?:[0-9a-fA-F]?%|(?:[0-9a-fA-F]{0,3}u)?\\|[#0-9A-Za-z]{0,8}&)+")
"""An escape that a cut has left unfinished, read backwards: a search for what ends the text would begin anew at each
of its characters."""


def fold(data: bytes) -> bytes | None:
    """Return text with its escapes undone; None when there are too many, or too many inside each other."""
    data = data.translate(_LETTERS)
    left = SPARE + len(data) * PER_BYTE
    for _ in range(PASSES):
        left -= _cost(data)
        if left < 0:
            return None
        folded = _undo(data)
        if len(folded) == len(data) or not has_escapes(folded):
            return folded.translate(None, b"%")
        data = folded
    return None


def has_escapes(data: bytes) -> bool:
    """Return whether text could say something else than what stands there."""
    return b"%" in data or b"\\" in data or b"&" in data


def fold_beginning(data: bytes) -> bytes:
    """Return text that a cut has ended, without its escapes and without one that the cut has left unfinished."""
    for _ in range(PASSES):
        folded = _undo(data[: find_unfinished(data)].translate(_LETTERS))
        if len(folded) == len(data):
            break
        data = folded
    return data.translate(None, b"%")


def find_unfinished(data: bytes) -> int:
    """Return where the escapes begin that a cut has left unfinished; the length when there are none."""
    match = _UNFINISHED.match(data[::-1])
    return len(data) - match.end() if match else len(data)


def _cost(data: bytes) -> int:
    """Return how many steps ``_undo`` will take; other escapes than these cost next to nothing."""
    steps = 0
    if b"&" in data:
        steps += data.count(b"&amp;") + 2 * data.count(b"&#")
    if b"\\" in data:
        steps += data.count(b"\\u00")
    if b"%" in data:
        steps += data.count(b"%%%")
    return steps


def _undo(data: bytes) -> bytes:
    """Undo XML's escapes, in what this gives JSON's, and in what that gives URLs'; what can be undone is shorter."""
    if b"&" in data:
        data = _undo_xml(data)
    if b"\\" in data:
        if b"u00" in data:
            data = _JSON_ASCII.sub(b"%", data)
        data = data.translate(_LETTERS, b"\\")
    return _undo_url(data) if b"%" in data else data


def _undo_xml(data: bytes) -> bytes:
    if b"&amp;" in data:
        data = _AMPERSANDS.sub(b"&", data)
    for escaped, plain in _NAMED:
        data = data.replace(escaped, plain)
    if b"&#" in data:
        parts = _REFERENCE.split(data)
        parts[1::2] = map(_resolve, parts[1::2])
        data = b"".join(parts)
    return data


def _resolve(reference: bytes) -> bytes:
    return _REFERENCES[reference] if reference in _REFERENCES else _REFERENCES[b"x" + reference[1:].lstrip(b"0")]


def _undo_url(data: bytes) -> bytes:
    if b"%%%" in data:
        data = _PERCENTS.sub(b"%%", data)
    if b"%3" in data:
        data = data.replace(b"%3D", EQUALS).replace(b"%3d", EQUALS)
    # Quoted-printable is the same with another sign, and the one of such codings that C undoes.  Its soft line
    # breaks cannot occur, as there are no line breaks any more.
    return binascii.a2b_qp(data.translate(_TO_PRINTABLE)).translate(_FROM_PRINTABLE)
