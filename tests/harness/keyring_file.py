"""A backend of the library ``keyring`` that keeps its entries in a file, for machines without a desktop."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend

FILE = "RAPIDSOS_PROXY_TESTS_KEYRING"
"""The variable that names the file."""


class FileKeyring(KeyringBackend):
    """Entries as JSON: a user's value by service and user name."""

    priority = 0.1  # type: ignore[assignment]  # keyring declares a class property of its own

    def __init__(self, path: Path | None = None) -> None:
        """Keep entries in ``path``, or where the environment says."""
        super().__init__()
        # The library itself makes one in the proxy's process, and one of every backend that it knows of here.
        self._path = path or Path(os.environ.get(FILE, os.devnull))

    def get_password(self, service: str, username: str) -> str | None:
        """Return an entry; None where there is none."""
        value: str | None = self._read().get(f"{service}/{username}")
        return value

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write an entry."""
        self._path.write_text(json.dumps(self._read() | {f"{service}/{username}": password}))

    def _read(self) -> dict[str, str]:
        entries: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return entries
