"""Query and body of an API request, as values; what cannot be read is a 400."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from proxy.simulator.refusals import detail

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def parse_media_type(content_type: str) -> str:
    """Return the media type alone, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parse_integer(query: Mapping[str, str], name: str, default: int) -> int:
    """Return one parameter, or ``default`` when it is absent or empty.

    Raises:
        RefusalError: 400, if it is not a whole number.
    """
    text = query.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise detail(400, f"{name} must be an integer.") from None


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a JSON body that must be an object.

    Raises:
        RefusalError: 400, if it is not.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise detail(400, "Request body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise detail(400, "Request body must be a JSON object.")
    return value


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; of a repeated one, the last."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def parse_basic(authorization: str) -> tuple[str, str] | None:
    """Return user and password of a Basic credential (RFC 7617), or None when it is none."""
    scheme, _, packed = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(packed.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
