"""The error answers of RapidSOS, as values.

The API's own errors are ``{"detail": "…"}``.  What its gateway says before the API is reached has other shapes:
``{"fault": …}`` for a token, ``{"ErrorCode": …}`` for a client.
"""

from __future__ import annotations

from typing import Any

TOO_MANY = "Too many requests. Please try again later"
REALM = 'Basic realm="RapidSOS simulator"'


class RefusalError(Exception):
    """An error answer, raised where it is decided.

    Attributes:
        status: The HTTP status.
        body: The JSON body.
        headers: Fields beyond the usual ones.
    """

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        """Keep the answer."""
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}


def detail(status: int, text: str, headers: dict[str, str] | None = None) -> RefusalError:
    """Build an error of the API itself."""
    return RefusalError(status, {"detail": text}, headers)


def gateway_fault(status: int, text: str, code: str) -> RefusalError:
    """Build an error of the gateway before the API."""
    return RefusalError(status, {"fault": {"faultstring": text, "detail": {"errorcode": code}}})


def invalid_token() -> RefusalError:
    """Build the 401 for a token that is absent, unknown or revoked."""
    return gateway_fault(401, "Invalid Access Token", "keymanagement.service.invalid_access_token")


def expired_token() -> RefusalError:
    """Build the 401 for a token past its life."""
    return gateway_fault(401, "Access Token expired", "keymanagement.service.access_token_expired")


def quota() -> RefusalError:
    """Build the gateway's 429."""
    text = "Rate limit quota violation. Quota limit exceeded."
    return gateway_fault(429, text, "policies.ratelimit.QuotaViolation")


def invalid_client() -> RefusalError:
    """Build the token endpoint's 401 for an unknown client or a wrong secret."""
    return RefusalError(401, {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"})


def wrong_password() -> RefusalError:
    """Build the token endpoint's 401 for a person it does not believe."""
    return detail(401, "Invalid user credentials.")


def invalid_login() -> RefusalError:
    """Build the 401 for a wrong Basic credential (RFC 7617)."""
    return detail(401, "Invalid user credentials.", {"WWW-Authenticate": REALM})


def not_found() -> RefusalError:
    """Build the 404, which is a normal answer: no record for this caller."""
    return detail(404, "Not found.")
