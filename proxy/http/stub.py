"""The token endpoint of a listener, for clients that speak OAuth themselves: ``stub_token = true``.

Such a client asks us for a token as it would ask RapidSOS, gets one that opens nothing, and sends it with every
request, where it is taken out like any Authorization.  What it sends to prove itself is not looked at and goes nowhere:
whoever may use the listener may have a token that is worth nothing.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from proxy.http.problem import build_answer

if TYPE_CHECKING:
    from proxy.http.head import RequestHead
    from proxy.http.problem import Answer
    from proxy.http.targets import Target

TOKEN_PATHS: Final = ("/oauth/token", "/oauth/v2/token")
"""Behind the base URL that the client was given; RapidSOS's pages write them with a slash at the end, too."""
LIFE_S: Final = 3599
"""What RapidSOS says of its own; the client asks again in time, and that is all that comes of it."""


def is_token_call(head: RequestHead) -> bool:
    """Return whether a request looks like one for a token (RFC 6749, section 3.2: by POST), wherever it leads."""
    return head.method == "POST" and unquote(_read_path(head.target)).lower().rstrip("/").endswith(TOKEN_PATHS)


def find_base(head: RequestHead, target: Target) -> str | None:
    """Return what stands before the token endpoint in the path of a request for a token; None if it is none."""
    path = _read_path(target.path)
    ending = next((ending for ending in TOKEN_PATHS if path.lower().endswith(ending)), None)
    return None if ending is None or head.method != "POST" else path.removesuffix(path[-len(ending) :])


def _read_path(target: str) -> str:
    return target.partition("?")[0].rstrip("/")


def build_stub_token_answer(token: str, *, now: float) -> Answer:
    """Build the answer, in the shape that RapidSOS documents.

    Args:
        token: An opaque one.
        now: Wall time, in seconds since the epoch.
    """
    document = {
        "access_token": token,
        "token_type": "Bearer",  # a scheme # nosec B105
        "issued_at": int(now * 1000),
        "expires_in": LIFE_S,
    }
    fields = [("Content-Type", "application/json"), ("Pragma", "no-cache")]  # RFC 6749, section 5.1
    return build_answer(HTTPStatus.OK, fields, json.dumps(document).encode("ascii"), now)
