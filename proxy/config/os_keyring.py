"""The keyring of the operating system as a place of secrets: macOS Keychain, Windows Credential Locker, Secret Service.

The rule of this file: the library ``keyring`` is optional, and is imported when a secret is read from it.  Its
backends are plug-ins that may raise anything and wait for anyone; none of their texts goes into a message.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.places import SourceError, build_secret

if TYPE_CHECKING:
    from proxy.config.secret import Secret

KEYRING_LIMIT_S = 10.0
"""Seconds a keyring may take: a locked one asks on a screen that a service does not have."""
INSTALL = "pip install 'rapidsos-auth-proxy[keyring]'"


@dataclass(frozen=True, slots=True)
class KeyringEntry:
    """One entry of the keyring of the user that the proxy runs as."""

    service: str
    username: str

    def read(self) -> Secret:
        """See ``Place``."""
        answers: queue.SimpleQueue[str | SourceError | None] = queue.SimpleQueue()
        # A daemon, since a backend that waits for a person must not keep the process from ending.
        threading.Thread(target=lambda: answers.put(self._ask()), name="keyring", daemon=True).start()
        try:
            answer = answers.get(timeout=KEYRING_LIMIT_S)
        except queue.Empty:
            fix = "unlock the keyring for the proxy's user, or take the secret from a file"
            raise SourceError(self._origin, f"did not answer within {KEYRING_LIMIT_S:g} s", fix) from None
        if isinstance(answer, SourceError):
            raise answer
        if answer is None:
            fix = f'as the proxy\'s user: keyring set "{self.service}" "{self.username}"'
            raise SourceError(self._origin, "is not in the keyring", fix)
        return build_secret(answer, self._origin, self)

    @property
    def _origin(self) -> str:
        return f"keyring {self.service}/{self.username}"

    def _ask(self) -> str | SourceError | None:
        """Return the value, None where there is no such entry, or what went wrong."""
        try:
            import keyring  # noqa: PLC0415 (optional, and slow to import)
            from keyring.errors import NoKeyringError  # noqa: PLC0415 (the same)
        except ImportError:
            return SourceError(self._origin, "needs the library keyring, which is not installed", INSTALL)
        try:
            return keyring.get_password(self.service, self.username)
        except NoKeyringError:
            fix = "install a backend that works without a desktop, or take the secret from a file"
            return SourceError(self._origin, "cannot be read: this user has no keyring", fix)
        except Exception as error:  # noqa: BLE001 (a backend is a plug-in; its text may quote what it read)
            problem = f"cannot be read ({type(error).__name__})"
            return SourceError(self._origin, problem, "read it by hand as the proxy's user: keyring get SERVICE USER")
