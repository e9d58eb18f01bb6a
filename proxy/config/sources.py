"""How the source of a secret is written: ``{ env = … }``, ``{ file = … }``, ``{ command = […] }``, ``{ keyring = … }``.

The rule of this file: whatever goes wrong, the message names the setting and the source, never a character of the
value.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxy.config.os_keyring import KeyringEntry
from proxy.config.places import Command, File, SourceError, Variable, build_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config.secret import Place, Secret

IN_FILE = "written in the file"
"""Origin of a client id or a user name, which the file's owner need not hide."""
_FORMS = (
    '{ env = "NAME" }, { file = "/path" }, { command = ["program", "argument"] } or '
    '{ keyring = { service = "…", username = "…" } }'
)


def environment() -> Mapping[str, str]:
    """Return the process's environment, for the command line to hand to load_config."""
    return os.environ  # noqa: TID251 (the one place that may)


class Sources:
    """Reads secrets, relative to where the configuration lies."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        """Read variables from ``environ``, and relative paths from ``base``."""
        self._base = base
        self._environ = environ

    def read(self, value: object, *, may_be_literal: bool) -> Secret:
        """Read one secret from the source that the configuration names.

        Args:
            value: The source, or the value itself.
            may_be_literal: Whether the value itself may stand in the file.

        Raises:
            SourceError: When ``value`` is no source, or the source gives no usable secret.
        """
        if not isinstance(value, str):
            return self._find_place(value).read()
        if may_be_literal:
            return build_secret(value, IN_FILE, None)
        raise SourceError(None, "is a secret in plain text", f"write {_FORMS}, and have the secret changed")

    def _find_place(self, value: object) -> Place:
        match value:
            case {"env": str(name), **rest} if not rest:
                return Variable(name, self._environ)
            case {"file": str(path), **rest} if not rest:
                return File(self._base / path)
            case {"command": [str(_), *_] as words, **rest} if not rest and _are_texts(words):
                return Command(tuple(words), self._base, self._environ)
            case {"keyring": {"service": str(service), "username": str(username), **more}, **rest} if not rest | more:
                return KeyringEntry(service, username)
        raise SourceError(None, "is not a source of a secret", f"write {_FORMS}")


def _are_texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)
