"""Which names say that a secret follows: of fields in queries, forms, JSON and XML, and of header fields.

The rule of this file: it is the one place where they are listed, but for the header fields of HTTP itself, which
``proxy.http.fields`` has.  It knows no secret; redact.py finds the configured ones under any name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http.fields import is_secret_field
from proxy.traffic.finder import Finder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MASK = "***"
LONGEST = 64
"""Bytes of a name in a body."""

_ENDINGS = (
    b"secret",
    b"passwd",
    b"password",
    b"passphrase",
    b"pwd",
    b"assertion",
    *(root + dash + b"key" for root in (b"api", b"private") for dash in (b"", b"-", b"_")),
)
"""A name that ends so is one, whatever it begins with: ``rsosClientSecret``."""
_TOKENS = ("access", "acces", "actor", "api", "auth", "bearer", "id", "refresh", "session", "subject")
"""``acces_token`` is a documented misspelling of RapidSOS's; ``nextToken`` pages through lists and is no secret."""
_WHOLE = frozenset(
    {b"token", b"authorization", b"proxyauthorization", b"proxy-authorization", b"proxy_authorization"}
    | {f"{kind}{dash}token".encode() for kind in _TOKENS for dash in ("", "-", "_")}
)
_ROOTS = (b"authorization", b"token", *_ENDINGS[:6], b"ekey", b"ikey", b"-key", b"_key")
"""How every such name ends, in few forms; with what follows, two searches (finder.py) of texts that have a hint."""
_HINTS = (b"assertion", b"authoriz", b"key", b"pass", b"pwd", b"secret", b"token")
"""What every such name that is built in holds, in lower case, upper case or capitalized: to lower a body costs as much
again as the search."""
_FOLLOWS = (b'"', b"\\", b"=", b">", b" ", b"\t", b"\r", b"\n")
"""JSON, JSON inside JSON, a form or an attribute, XML with and without attributes, be it on one line or on several."""


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name in a query or a body holds a secret; case does not matter."""
    return _is_secret(name.lower().encode())


def _is_secret(name: bytes) -> bool:
    return name in _WHOLE or name.endswith(_ENDINGS)


class SecretNames:
    """The names that are built in, and those that the configuration adds."""

    __slots__ = ("_added", "_fields", "_finder", "covers", "may_be_in")

    def __init__(
        self, more: Iterable[str] = (), covers: Mapping[bytes, Callable[[bytes], bytes]] | None = None
    ) -> None:
        """Take more names; case does not matter in any.

        Args:
            more: Names of fields.
            covers: For those of them whose values are shown in part, what does that, by name in lower case.
        """
        self.covers = covers or {}
        added = self._fields = frozenset(name.lower() for name in more)
        self._added = names = frozenset(name.encode() for name in added)
        hints = Finder([form for hint in _HINTS for form in (hint, hint.upper(), hint.capitalize())]).is_in
        lower_hints = Finder([*_HINTS, *names]).is_in
        self.may_be_in = (lambda data: lower_hints(data.lower())) if names else hints
        """Whether a body might hold such a field; most hold none, and are not looked at more closely."""
        self._finder = Finder([name + after for name in (*_ROOTS, *sorted(names)) for after in _FOLLOWS])

    def is_secret(self, name: bytes) -> bool:
        """Return whether a field of this name in a query or a body holds a secret."""
        name = name.lower()
        return _is_secret(name) or name in self._added

    def is_secret_field(self, name: str) -> bool:
        """Return whether header fields of this name, in lower case, hold a secret."""
        return name in self._fields or is_secret_field(name)

    def cover_field(self, name: str, value: str) -> str:
        """Return what stands in the place of a header field's value; the name is in lower case."""
        cover = self.covers.get(name.encode())
        return MASK if cover is None else cover(value.encode(errors="replace")).decode()

    def is_added(self, name: str) -> bool:
        """Return whether the configuration adds this name, in lower case."""
        return name in self._fields

    def find(self, data: bytes) -> list[int]:
        """Return the places behind which a secret may follow, in order.

        Each is the end of a name that might be one, and of the byte after it.
        """
        return self._finder.find_ends(data.lower())
