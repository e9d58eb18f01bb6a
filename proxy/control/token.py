"""`rapidsos-proxy token status` and `rapidsos-proxy token refresh`.

The rule of this file: the exit code says what the lines say, for scripts: 0 when every credential that was asked for is
usable, or has a new token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from proxy.control.client import connect
from proxy.control.table import build_status, tell_span
from proxy.errors import ConfigError, ControlError, RefreshPaused
from proxy.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.control.client import ControlClient
    from proxy.control.place import Place
    from proxy.tokens.token import CredentialStatus

    Show = Callable[[str], None]

PATIENCE_S = 2.0
"""Between two lines that say that it still waits."""
FORCE_HINT = "--force calls all the same"
PER_PERSON = "tokens are per dispatcher; nothing to refresh"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one refresh.

    Attributes:
        line: For people.
        is_good: Whether there is a new token, or none is needed.
    """

    line: str
    is_good: bool


async def show_status(place: Place, names: Sequence[str], show: Show, *, as_json: bool) -> int:
    """Show how credentials stand; returns the exit code.

    Args:
        place: Of the control socket.
        names: Of the credentials; none stands for all.
        show: Takes the answer.
        as_json: For programs: the status of each, as ``/api/tokens`` gives it.

    Raises:
        ControlError: If the proxy cannot be asked.
        ConfigError: If a name is none of a credential.
    """
    async with connect(place) as client:
        chosen = _choose(await client.statuses(), names)
    show(orjson.dumps({"tokens": chosen}).decode() if as_json else build_status(chosen))
    return 0 if all(credential.usable for credential in chosen) else 1


async def refresh_tokens(place: Place, names: Sequence[str], show: Show, *, force: bool) -> int:
    """Have tokens replaced now, side by side, and tell what came of each; returns the exit code.

    Args:
        place: Of the control socket.
        names: Of the credentials; none stands for all.
        show: Takes a line at a time.
        force: Whether to call in spite of what the last outcome forbids.

    Raises:
        ControlError: If the proxy cannot be asked.
        ConfigError: If a name is none of a credential.
    """
    tasks = Tasks()
    outcomes: list[Outcome] = []
    async with connect(place) as client:
        chosen = _choose(await client.statuses(), names)
        for credential in chosen:
            if credential.people is None:
                show(_announce(credential))
        pending = {tasks.start(_refresh(client, one, force=force), name=one.name) for one in chosen}
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
                outcomes += [task.result() for task in done]
                for line in [task.result().line for task in done] or [_tell_waiting(pending)]:
                    show(line)
        finally:
            await tasks.stop()
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _choose(credentials: Sequence[CredentialStatus], names: Sequence[str]) -> list[CredentialStatus]:
    known = {credential.name: credential for credential in credentials}
    for name in names:
        if name not in known:
            where = f"--credential {name}"
            raise ConfigError(where, "is no credential of the running proxy", f"write one of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or list(credentials)


async def _refresh(client: ControlClient, before: CredentialStatus, *, force: bool) -> Outcome:
    name = before.name
    if before.people is not None:
        return Outcome(f"{name}: {PER_PERSON}", is_good=True)
    try:
        after = await client.refresh(name, force=force)
    except RefreshPaused as error:
        return Outcome(f"{name}: not called: {error.detail}; {FORCE_HINT}", is_good=False)
    except ControlError as error:
        return Outcome(f"{name}: {error}", is_good=False)
    if after.last_error is not None:
        return Outcome(f"{name}: FAILED: {after.last_error}. {after.next_step}", is_good=False)
    if after.fingerprint is None:
        return Outcome(f"{name}: nothing to do", is_good=after.usable)
    news = "new token" if after.fingerprint != before.fingerprint else "the token stays"
    return Outcome(f"{name}: {news} {after.fingerprint}, expires in {tell_span(after.expires_in_s)}", is_good=True)


def _announce(credential: CredentialStatus) -> str:
    if credential.grant == "basic":
        return f"{credential.name}: has no token: its login is sent with each request"
    meanwhile = f"; {credential.fingerprint} serves meanwhile" if credential.fingerprint is not None else ""
    return f"{credential.name}: calling {credential.token_url}{meanwhile}"


def _tell_waiting(pending: set[asyncio.Task[Outcome]]) -> str:
    return f"still waiting for {', '.join(sorted(task.get_name() for task in pending))}"
