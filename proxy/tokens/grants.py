"""Credential to token request (RFC 6749, sections 2.3.1, 4.3.2 and 4.4.2).

The rule of this file: pure, and exactly one kind of client authentication in a request.  A server that is given two
must reject both (section 2.3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from proxy.errors import ConfigError
from proxy.http.basic import build_basic

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.config.secret import Secret

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to a token endpoint.

    Attributes:
        headers: May hold the client's secret.
        body: Holds the client's secret, a person's password, or both.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def build_token_request(credential: Credential) -> TokenRequest:
    """Build the request for a credential's next token.

    Raises:
        ConfigError: If the credential has no token endpoint; the configuration's loader has refused it before.
    """
    if credential.token_url is None:
        where = "credential"
        raise ConfigError(where, f"grant {credential.grant} has no token_url", "add token_url")
    headers = {"Accept": "application/json"}
    fields: dict[str, str] = {"grant_type": credential.grant}
    if credential.client_auth == "basic":
        headers["Authorization"] = build_client_basic(credential.client_id, credential.client_secret)
    else:
        fields |= _known(client_id=credential.client_id, client_secret=credential.client_secret)
    if credential.grant == "password":
        fields |= _known(username=credential.username, password=credential.password)
    if credential.scope is not None:
        fields["scope"] = credential.scope
    # What the grant itself needs is never overwritten by a like-named extra.
    fields |= {name: value for name, value in credential.extra.items() if name not in fields}
    headers["Content-Type"] = JSON if credential.request == "json" else FORM
    return TokenRequest(credential.token_url, headers, _encode(fields, credential.request))


def build_client_basic(client_id: Secret | None, client_secret: Secret | None) -> str:
    """Build the client's Basic Authorization: id and secret form-encoded first (RFC 6749, section 2.3.1).

    Without that encoding a ``:`` in the id, or a ``+`` or ``%`` in the secret, arrives as something else.
    """
    return build_basic(*(quote_plus(secret.reveal()) if secret else "" for secret in (client_id, client_secret)))


def printable_url(url: str) -> str:
    """Return ``url`` as logs may show it: without user information, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _known(**secrets: Secret | None) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in secrets.items() if secret is not None}


def _encode(fields: dict[str, str], request: str) -> bytes:
    return json.dumps(fields).encode() if request == "json" else urlencode(fields).encode()
