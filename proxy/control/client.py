"""How a command asks the running proxy.

The rule of this file: whatever goes wrong, the person at the terminal learns whether the proxy runs, and what to do;
and no text of an answer can speak to that terminal.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import aiohttp

from proxy.control.server import FORCE, RELOAD, TOKENS
from proxy.control.trust import check_peer, find_believed
from proxy.errors import ConfigError, ControlError, RefreshPaused
from proxy.printable import escape_unprintable
from proxy.reload import Reloaded
from proxy.tokens.token import CredentialStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.connector import Connection

    from proxy.control.place import Place

HOST = "http://rapidsos-proxy"
"""HTTP wants a name, though the socket decides who answers."""
ANSWER_S = 10.0
"""For what the proxy knows already; a token call takes as long as timeouts.token lets it."""
_FIX_FORBIDDEN: Final = "run this command as that user, or as root"
_FIX: Final = "look at the proxy's log, on its standard error, and use the command of the version that runs"


class ControlClient:
    """One command's connection to the running proxy."""

    def __init__(self, path: Path, session: aiohttp.ClientSession) -> None:
        """Ask over ``session``, which leads to the socket at ``path``."""
        self._path = path
        self._session = session

    async def statuses(self) -> list[CredentialStatus]:
        """Return how every credential stands.

        Raises:
            ControlError: If the proxy cannot be asked.
        """
        document = await self._ask("GET", TOKENS, limit_s=ANSWER_S)
        return [_parse_status(self._path, item) for item in document["tokens"]]

    async def refresh(self, name: str, *, force: bool) -> CredentialStatus:
        """Have one credential's token replaced, and return how it stands then.

        Raises:
            RefreshPaused: If the policy says not yet.
            ControlError: If the proxy cannot be asked.
        """
        path = f"{TOKENS}/{quote(name, safe='')}/refresh{f'?{FORCE}' if force else ''}"
        return _parse_status(self._path, await self._ask("POST", path, limit_s=None))

    async def reload(self) -> Reloaded:
        """Have the configuration read again and used.

        Raises:
            ConfigError: If the proxy refuses it.
            ControlError: If the proxy cannot be asked.
        """
        document = await self._ask("POST", RELOAD, limit_s=None)
        return Reloaded(_clean_all(document["changed"]), _clean_all(document["needs_restart"]))

    async def _ask(self, method: str, path: str, *, limit_s: float | None) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self._session.request(method, f"{HOST}{path}", timeout=limit) as answer:
                document: dict[str, Any] = await answer.json(content_type=None)
        except TimeoutError as error:
            fix = "look at its log, on standard error; if it is silent too, restart it"
            raise ControlError(str(self._path), f"no answer within {ANSWER_S:g} s", fix) from error
        except aiohttp.ClientConnectorError as error:
            _explain_connection(self._path, error.os_error)
        except (aiohttp.ClientError, ValueError) as error:
            problem = "the proxy ended in the middle of its answer, or something else answers there"
            raise ControlError(str(self._path), problem, "look at its log, and try again") from error
        if answer.status == HTTPStatus.CONFLICT:
            raise RefreshPaused(escape_unprintable(document["detail"]), float(answer.headers.get("Retry-After", "inf")))
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise ConfigError(*(escape_unprintable(document[part], keep="\n") for part in ("where", "problem", "fix")))
        if answer.status != HTTPStatus.OK:
            fix = _FIX_FORBIDDEN if answer.status == HTTPStatus.FORBIDDEN else _FIX
            problem = escape_unprintable(str(document.get("detail", answer.reason)))
            raise ControlError(str(self._path), problem, fix)
        return document


@contextlib.asynccontextmanager
async def connect(place: Place) -> AsyncIterator[ControlClient]:
    """Ask the proxy whose socket is at ``place``, for the length of a block; nothing is opened before it is asked.

    Raises:
        ControlError: If the socket there is a stranger's.
    """
    path = place.path
    async with open_session(path, find_believed(place, os.geteuid())) as session:
        yield ControlClient(path, session)


def open_session(path: Path, believed: frozenset[int]) -> aiohttp.ClientSession:
    """Open a session with whatever of the users ``believed`` answers at a socket; of any other, no answer is read."""

    class Answer(aiohttp.ClientResponse):
        """An answer of somebody who is believed."""

        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            """See ``ClientResponse``."""
            if connection.transport is not None:
                check_peer(path, connection.transport.get_extra_info("socket"), believed)
            return await super().start(connection)

    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path)), response_class=Answer)


def _explain_connection(path: Path, error: OSError) -> NoReturn:
    """Say why nothing can be asked.

    Raises:
        ControlError: Always.
    """
    if error.errno in {errno.EACCES, errno.EPERM}:
        fix = "run this command as the proxy's user, or as root"
        raise ControlError(str(path), "this user may not open it", fix) from error
    if error.errno in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK}:
        problem = "the proxy is not running, or its control socket is another"
        fix = (
            "start it with `rapidsos-proxy serve`; or give this command its --config, or as --control the path that "
            "it printed at its start"
        )
        raise ControlError(str(path), problem, fix) from error
    raise ControlError(str(path), f"cannot be opened ({error.strerror or error})", "check the path") from error


def _parse_status(path: Path, item: dict[str, Any]) -> CredentialStatus:
    """Build a status from its JSON; what a newer proxy tells beyond it is left out."""
    try:
        return CredentialStatus(**{field.name: _clean(item[field.name]) for field in fields(CredentialStatus)})
    except KeyError as error:
        problem = f"another version of the proxy is running: it does not tell {error}"
        raise ControlError(str(path), problem, "restart it, or use the command of its version") from error


def _clean(value: object) -> Any:  # noqa: ANN401 (whatever a status has)
    return escape_unprintable(value) if isinstance(value, str) else value


def _clean_all(names: list[str]) -> tuple[str, ...]:
    return tuple(escape_unprintable(name) for name in names)
