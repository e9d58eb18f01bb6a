"""Redaction by name: header fields, and fields of queries, forms and JSON, whose names say that a secret follows.

The rule of this file: the content decides, not its Content-Type, which legacy clients get wrong.  It knows no
secret; redact.py finds the configured ones under any name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.tokens.token import fingerprint
from proxy.traffic.finder import Finder

if TYPE_CHECKING:
    from proxy.http.fields import Fields, FieldSection

MASK = "***"

AUTHORIZATION = "authorization"
PROXY_AUTHORIZATION = "proxy-authorization"
SECRET_FIELDS = frozenset(
    {
        "api-key",
        "apikey",
        "cookie",
        "ocp-apim-subscription-key",
        "set-cookie",
        "set-cookie2",
        "x-access-token",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
    }
)
URL_FIELDS = frozenset({"content-location", "link", "location", "referer", "refresh"})
_LOOKED_AT = SECRET_FIELDS | URL_FIELDS | {AUTHORIZATION, PROXY_AUTHORIZATION}

_NAME = (
    r"(?:[\w.-]{0,40}(?:secret|passw(?:or)?d|passphrase|pwd|assertion|api[_-]?key|private[_-]?key)"
    r"|(?:(?:access?|actor|api|auth|bearer|id|refresh|session|subject)[_-]?)?token"
    r"|(?:proxy[_-])?authorization)"
)
"""``acces_token`` is a documented misspelling of RapidSOS's; ``nextToken`` pages through lists and is no secret."""
_ROOTS = Finder(
    [
        form.encode()
        for root in ("assertion", "authoriz", "key", "passp", "passw", "pwd", "secret", "token")
        for form in (root, root.capitalize(), root.upper())
    ]
)
"""What every such name holds: most bodies have none of it, and are not looked at more closely."""
_JSON = re.compile(
    rf'("{_NAME}"\s*:\s*)(?!null|true|false)'
    r'(?:"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|\[[^\]]*(?:\]|\Z)|[^\s",\[\]{}]+)',
    re.IGNORECASE | re.DOTALL,
)
_JSON_IN_JSON = re.compile(
    rf'((?<!\\)(\\{{1,15}})"{_NAME}\2"\s*:\s*\2")(?:.*?(?<!\\)(?=\2")|.*\Z)',
    re.IGNORECASE | re.DOTALL,
)
"""Each level of JSON doubles the backslashes and adds one: four levels; no more, so that a run of them costs little."""
_PAIR = re.compile(rf'((?:\A|[?&;#]){_NAME}=)[^&\r\n"\\]*', re.IGNORECASE)
_QUERY = re.compile(rf"((?:\A|[?&;#]){_NAME}=)[^&#]*", re.IGNORECASE)
"""In a URL by itself nothing else ends a value; in a body a URL may stand in quotes."""
_USER_INFO = re.compile(r"//[^/?#\s]*@")


def mask_fields(section: FieldSection, *, shows_tokens: bool) -> Fields:
    """Return header fields with the values masked that their names give away.

    Args:
        section: As received; its fields are returned as they are when there is nothing to mask.
        shows_tokens: Whether Bearer tokens stay; else their fingerprint stands in their place.
    """
    if _LOOKED_AT.isdisjoint(section.names):
        return section.fields
    return [
        (field[0], _mask_value(name, field[1], shows_tokens=shows_tokens)) if name in _LOOKED_AT else field
        for field, name in zip(section.fields, section.names, strict=True)
    ]


def fields_with_tokens(section: FieldSection) -> Fields:
    """Mask a section for a log that may hold tokens; for ``FieldSection.derive``."""
    return mask_fields(section, shows_tokens=True)


def fields_with_fingerprints(section: FieldSection) -> Fields:
    """Mask a section for a log that may not."""
    return mask_fields(section, shows_tokens=False)


def mask_authorization(value: str, *, shows_tokens: bool) -> str:
    """Return an Authorization value with its scheme, and its token if it has one that may be shown."""
    if shows_tokens and value.startswith("Bearer "):
        return value
    scheme, space, credentials = value.partition(" ")
    if not space:
        return MASK
    if scheme.lower() != "bearer":
        return f"{scheme} {MASK}"
    return value if shows_tokens else f"{scheme} sha256:{fingerprint(credentials.strip())}"


has_secret_names = _ROOTS.is_in
"""Return whether a body might hold a field that ``mask_text`` would mask."""


def mask_url(url: str) -> str:
    """Return a URL or a request target without user information and secret query fields."""
    if "@" in url:
        url = _USER_INFO.sub(f"//{MASK}@", url)
    if "=" in url and has_secret_names(url.encode()):
        return _QUERY.sub(rf"\1{MASK}", url)
    return url


def mask_text(text: str) -> str:
    """Return a body's text with the values of secret form and JSON fields masked, also in JSON inside JSON."""
    text = _JSON.sub(rf'\1"{MASK}"', text)
    if '\\"' in text:
        text = _JSON_IN_JSON.sub(rf"\1{MASK}", text)
    return _PAIR.sub(rf"\1{MASK}", text) if "=" in text else text


def _mask_value(name: str, value: str, *, shows_tokens: bool) -> str:
    if name in URL_FIELDS:
        return mask_url(value)
    if name in SECRET_FIELDS:
        return MASK
    return mask_authorization(value, shows_tokens=shows_tokens and name == AUTHORIZATION)
