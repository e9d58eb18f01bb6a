"""The source of a constant Basic credential, for upstreams that take no OAuth (LIS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.tokens.token import CredentialStatus, Token, build_basic_token

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.config.secret import Secret
    from proxy.tokens.bearer import Shared
    from proxy.tokens.token import TokenKey


class BasicSource:
    """A token source that has its token from the start, and no other until its login changes."""

    def __init__(self, name: str, username: Secret, password: Secret) -> None:
        """Build the login's one value."""
        self.name = name
        self._token = build_basic_token(username, password)

    def current(self) -> Token:
        """Return it."""
        return self._token

    async def wait(self) -> Token:
        """Return it."""
        return self._token

    async def replace(self, suspect: Token) -> None:
        """There is no other: a rejected Basic credential needs a person."""

    def suspect(self, token: Token) -> bool:  # noqa: ARG002 (see Source)
        """There is no other."""
        return False

    def prove(self, token: Token) -> None:
        """Nothing was in doubt."""

    def renew_credential(self, credential: Credential, key: TokenKey) -> None:  # noqa: ARG002 (nothing is kept)
        """Take another login; requests under way go on with the old one."""
        if credential.username is not None and credential.password is not None:
            self._token = build_basic_token(credential.username, credential.password)

    def share(self, shared: Shared) -> None:
        """Nothing is called."""

    async def refresh(self, *, force: bool = False) -> CredentialStatus:  # noqa: ARG002 (the protocol's)
        """There is nothing to call, and nothing newer to be had."""
        return self.status()

    async def start(self) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""

    def status(self) -> CredentialStatus:
        """Return how the credential stands: always usable, whatever an upstream thinks of it."""
        return CredentialStatus(
            name=self.name,
            grant="basic",
            token_url=None,
            usable=True,
            fingerprint=None,
            expires_in_s=None,
            next_refresh_in_s=None,
            last_error=None,
            last_error_ago_s=None,
            fetches=0,
            failures=0,
            skew_s=None,
        )
