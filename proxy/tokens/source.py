"""What the relay sees of a token source, and to whom a source tells what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.tokens.bearer import Shared
    from proxy.tokens.token import CredentialStatus, Token, TokenFetch, TokenKey


class TokenObserver(Protocol):
    """Whoever wants to know of each token call."""

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Take the outcome of one token call."""
        ...


class Source(Protocol):
    """Where the relay gets the Authorization of one credential."""

    name: str

    def current(self) -> Token | None:
        """Return the token to send now, or None if there is none; never waits."""
        ...

    async def wait(self) -> Token:
        """Wait for a token.

        Raises:
            NoToken: If none came in time, or none can come.
        """
        ...

    async def replace(self, suspect: Token) -> Token | None:
        """Return another token than ``suspect``, which an upstream rejected; None if none is to be had."""
        ...

    def suspect(self, token: Token) -> bool:
        """Have ``token``, which an upstream rejected, replaced, and wait for nothing; return whether it will be."""
        ...

    def prove(self, token: Token) -> None:
        """An upstream took ``token`` where it had rejected the one before."""
        ...

    def renew_credential(self, credential: Credential, key: TokenKey) -> None:
        """Use another secret from now on; the token in hand serves on until the new one has brought its own.

        Args:
            credential: The same but for its secrets.
            key: Under which its token is kept.
        """
        ...

    def share(self, shared: Shared) -> None:
        """Make token calls with what all sources have in common now: another corporate proxy, other time limits."""
        ...

    async def refresh(self, *, force: bool = False) -> CredentialStatus:
        """Replace the token now, and return how the credential stands after it; the one in hand serves meanwhile.

        Raises:
            RefreshPaused: If the last outcome forbids it for a while, and ``force`` does not lift that.
        """
        ...

    async def start(self) -> None:
        """Begin; does not wait for the first token."""
        ...

    async def stop(self) -> None:
        """End; those who wait get NoToken."""
        ...

    def status(self) -> CredentialStatus:
        """Return how the credential stands."""
        ...
