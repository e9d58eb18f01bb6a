"""The authorization server: whom it believes, what it hands out, and which tokens live.

Tokens of one simulated host are unknown to another, as with RapidSOS, whose two token servers are strangers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import orjson

from proxy.simulator.refusals import (
    RefusalError,
    detail,
    expired_token,
    invalid_client,
    invalid_token,
    wrong_password,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.config.secret import Secret
    from proxy.simulator.settings import SimulatorSettings
    from proxy.simulator.token_call import TokenCall

TOKEN_PATH = "/oauth/token"  # noqa: S105 (a path) # nosec B105
USER_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 (a path) # nosec B105
_GRANTS = {
    ("core", TOKEN_PATH): ("client_credentials", "password"),
    ("core", USER_TOKEN_PATH): ("password",),
    ("edx", TOKEN_PATH): ("client_credentials",),
}
_REMEMBER_S = 3600.0
"""How long a dead token is told apart, as expired, from one never seen."""
_SIGNATURE_BYTES = 256


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token handed out.

    Attributes:
        value: The token.
        grant: The grant that it came from.
        client_id: The client that it was given to.
        username: The person whom it stands for, or None.
        issued_at: Clock seconds.
        expires_at: Clock seconds.
    """

    value: str = field(repr=False)
    grant: str
    client_id: str
    username: str | None
    issued_at: float
    expires_at: float

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:12]


class TokenServer(Collection[IssuedToken]):
    """Issues tokens and knows them again; as a collection, those that live.

    Attributes:
        wrong_passwords: How often a person's password was refused; RapidSOS may lock the account for it.
    """

    def __init__(self, settings: SimulatorSettings, clock: Callable[[], float]) -> None:
        """Know no token yet."""
        self.wrong_passwords = 0
        self._settings = settings
        self._client_secret = settings.client_secret
        self._clock = clock
        self._tokens: dict[str, IssuedToken] = {}

    def __iter__(self) -> Iterator[IssuedToken]:
        """Iterate over the tokens that live, oldest first."""
        now = self._clock()
        return iter([token for token in self._tokens.values() if token.expires_at > now])

    def __len__(self) -> int:
        """Return how many live."""
        return len(list(iter(self)))

    def __contains__(self, token: object) -> bool:
        """Tell whether a token lives."""
        return token in list(iter(self))

    def issue(self, call: TokenCall) -> IssuedToken:
        """Judge a token request.

        Raises:
            RefusalError: 400 for a request that cannot be used, 401 for a client or a person not believed.
        """
        self._check_body(call)
        grant = self._check_grant(call)
        self._check_client(call)
        username = self._check_person(call) if grant == "password" else None
        return self._mint(grant, username)

    def check(self, value: str | None) -> IssuedToken:
        """Return the live token of this value.

        Raises:
            RefusalError: 401, if it is absent, unknown, revoked or expired.
        """
        token = self._tokens.get(value) if value else None
        if token is None:
            raise invalid_token()
        if token.expires_at <= self._clock():
            raise expired_token()
        return token

    def change_client_secret(self, secret: Secret) -> None:
        """Believe the client with this secret alone from now on; tokens that it has live on."""
        self._client_secret = secret

    def revoke(self, value: str) -> bool:
        """Forget one token; tell whether there was one."""
        return self._tokens.pop(value, None) is not None

    def revoke_all(self) -> int:
        """Forget every token; return how many lived."""
        lived = len(self)
        self._tokens.clear()
        return lived

    def _check_body(self, call: TokenCall) -> None:
        wanted = {"strict_form": "form", "json": "json"}.get(self._settings.token_body)
        if call.encoding == "unreadable" or (wanted and (call.encoding, call.labelled) != (wanted, wanted)):
            raise detail(400, "Request body is missing or not in the expected encoding.")

    def _check_grant(self, call: TokenCall) -> str:
        family = "edx" if self._settings.family == "edx" else "core"
        grant = call.fields.get("grant_type", "")
        if grant not in _GRANTS.get((family, call.path), ()):
            raise detail(400, "Unsupported or missing grant_type.")
        return grant

    def _check_client(self, call: TokenCall) -> None:
        accepted = self._settings.client_auth
        if call.client_auth == "both":  # RFC 6749, section 2.3: one method a request
            raise detail(400, "Client credentials were sent twice.")
        if accepted not in {"either", call.client_auth}:
            raise self._unknown_client()
        if not self._is_client(call):
            raise self._unknown_client()

    def _is_client(self, call: TokenCall) -> bool:
        known = self._settings
        sent = [call.basic or (call.fields.get("client_id", ""), call.fields.get("client_secret", ""))]
        if call.basic:  # RFC 6749, section 2.3.1 form-encodes both here; gateways also take them as they are
            sent.append((unquote_plus(call.basic[0]), unquote_plus(call.basic[1])))
        return any(who == known.client_id and _is_same(secret, self._client_secret) for who, secret in sent)

    def _unknown_client(self) -> RefusalError:
        if self._settings.token_variant.startswith("cognito"):
            return RefusalError(400, {"error": "invalid_client"})
        return invalid_client()

    def _check_person(self, call: TokenCall) -> str:
        username = call.fields.get("username", "")
        if not username:  # RFC 6749, section 4.3.2 requires it; nobody's password was wrong
            raise detail(400, "Username is missing.")
        password = call.fields.get("password", "")
        known = {**self._settings.people, self._settings.username: self._settings.password}.get(username)
        if known is None or not _is_same(password, known):
            self.wrong_passwords += 1
            raise wrong_password()
        return username

    def _mint(self, grant: str, username: str | None) -> IssuedToken:
        now = self._clock()
        self._forget_before(now - _REMEMBER_S)
        expires_at = now + self._settings.token_life_s
        value = secrets.token_hex(14)  # 28 characters, as the core host's are
        if self._settings.token_variant.startswith("cognito"):
            value = _build_jwt(self._settings.client_id, now, expires_at)
        token = IssuedToken(value, grant, self._settings.client_id, username, now, expires_at)
        self._tokens[value] = token
        return token

    def _forget_before(self, moment: float) -> None:
        self._tokens = {value: token for value, token in self._tokens.items() if token.expires_at > moment}


def _build_jwt(client_id: str, issued_at: float, expires_at: float) -> str:
    """Build a token that looks like Cognito's (RFC 7519); its signature is noise."""
    claims = {"client_id": client_id, "token_use": "access", "iat": int(issued_at), "exp": int(expires_at)}  # a claim # nosec B105
    parts = ({"alg": "RS256", "typ": "JWT"}, {**claims, "jti": secrets.token_hex(16)})
    packed = [orjson.dumps(part) for part in parts]
    return ".".join(_pack(part) for part in [*packed, secrets.token_bytes(_SIGNATURE_BYTES)])


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _is_same(sent: str, known: Secret) -> bool:
    return hmac.compare_digest(sent.encode(), known.reveal().encode())
