"""The operational log: what the proxy says about itself, on standard error, one line an event.

The rule of this file: standard output is the traffic log's; no secret passes, whatever an event or a traceback
quotes, and nothing that a terminal obeys; and a message that cannot be written never ends what it tells of.
"""

from __future__ import annotations

import logging
import os
import select
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

import orjson
import structlog

from proxy.config.secret import join_secrets
from proxy.printable import escape_unprintable
from proxy.traffic.redact import Redactions, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, Processor

    from proxy.config.secret import Secret

_FIRST_KEYS = ("ts", "level", "event")
_OF_SEVERAL_LINES = frozenset({"exception", "stack"})


class SecretMask:
    """The step of the chain that masks secrets by value; it knows none until it is told."""

    def __init__(self) -> None:
        """Mask nothing yet: the configuration is not read."""
        self._secrets: tuple[Secret, ...] = ()
        self._redactor = Redactor((), Redactions())

    def use(self, secrets: Iterable[Secret]) -> None:
        """Mask ``secrets`` as well from now on; those known before stay secret."""
        self._secrets = join_secrets(self._secrets, secrets)
        self._redactor = Redactor(self._secrets, Redactions())

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """Make an event of plain data, without secrets."""
        return {key: self._mask(value) for key, value in event.items()}

    def _mask(self, value: Any) -> Any:  # noqa: ANN401 (whatever an event holds)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {str(key): self._mask(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._mask(item) for item in value]
        # A repr could quote a secret as well as a text does, so it is made here and not by the renderer.
        text = value if isinstance(value, str) else repr(value)
        return self._redactor.mask(text.encode("utf-8", "backslashreplace").decode())


def set_up_logs(stream: TextIO, level: int) -> SecretMask:
    """Send structlog's events, and what libraries say through ``logging``, to ``stream``.

    Args:
        stream: Standard error; a terminal gets colours, anything else a JSON object a line.
        level: The least that is written, one of ``logging``'s; of libraries, warnings and worse.

    Returns:
        The mask, to be told the secrets once the configuration is read.
    """
    mask = SecretMask()
    output = cast("TextIO", _Unbreakable(stream))
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    ending: list[Processor] = [structlog.processors.format_exc_info, mask, *_choose_renderers(stream)]
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    return mask


class _Unbreakable:
    """A text stream whose reader may go away, or stop reading, or whose disk may fill up.

    The event loop writes here: what the stream has no room for now is lost, and told once there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0
        self._is_mid_line = False
        self._poll = select.poll()
        self._descriptor = _find_descriptor(stream)
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        try:
            if self._descriptor is None:
                return self._stream.write(text)
            self._write_what_fits(self._descriptor, text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):  # ValueError: it was closed
            return len(text)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return

    def _write_what_fits(self, descriptor: int, data: bytes) -> None:
        """Write a line, or as much of it as there is room for: nothing that poll(2) has not promised room for."""
        data = b"\n" * self._is_mid_line + self._tell_of_the_lost() + data
        for start in range(0, len(data), select.PIPE_BUF):
            if not self._poll.poll(0):
                self._lost += 1
                self._is_mid_line = self._is_mid_line or start > 0
                return
            os.write(descriptor, data[start : start + select.PIPE_BUF])
        self._is_mid_line = False
        self._lost = 0

    def _tell_of_the_lost(self) -> bytes:
        # No event of structlog's: its logger holds a lock while it writes here.
        if not self._lost:
            return b""
        event = {
            "ts": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": "warning",
            "event": "messages.lost",
            "count": self._lost,
            "reason": "standard error was full: nobody read it",
        }
        return orjson.dumps(event) + b"\n"


def _find_descriptor(stream: TextIO) -> int | None:
    """Return what the system writes to, or None where the stream is none of the system's."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _choose_renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        # Tracebacks come as text already; the default would print local variables, which hold secrets.
        tracebacks = structlog.dev.plain_traceback
        return [_escape_values, structlog.dev.ConsoleRenderer(timestamp_key="ts", exception_formatter=tracebacks)]
    return [_render_json]


def _render_json(_logger: object, _method: str, event: EventDict) -> str:
    ordered = {**{key: event[key] for key in _FIRST_KEYS if key in event}, **event}
    return escape_unprintable(orjson.dumps(ordered, default=repr).decode())


def _escape_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey; the renderer itself makes a repr of what is no text."""
    texts = {
        key: escape_unprintable(value, keep="\n\t" if key in _OF_SEVERAL_LINES else "")
        for key, value in event.items()
        if isinstance(value, str)
    }
    return {**event, **texts}
