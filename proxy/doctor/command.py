"""The command: examine, tell each finding as it is known, and end with a sentence and an exit code.

The rule of this file: whatever is written passes the mask of the configured secrets, though no finding should need it.
"""

from __future__ import annotations

import platform
import ssl
import time
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from proxy.doctor.check import run_checks
from proxy.doctor.instruments import Instruments, Limits
from proxy.doctor.plan import build_checks
from proxy.doctor.printer import Printer, Silence
from proxy.doctor.report import (
    CONFIGURATION,
    Entry,
    build_conclusion,
    build_config_document,
    build_document,
    choose_exit_code,
)
from proxy.printable import escape_unprintable
from proxy.traffic.log import find_secrets
from proxy.traffic.redact import Redactions, Redactor
from proxy.version import find_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.config.models import Config
    from proxy.doctor.printer import Audience
    from proxy.errors import ConfigError

DEFAULT_LIMITS = Limits()


async def examine(
    config: Config,
    audience: Audience,
    *,
    limits: Limits = DEFAULT_LIMITS,
    wall: Callable[[], float] = time.time,
) -> list[Entry]:
    """Examine every link that a configuration needs.

    Args:
        config: Checked.
        audience: Is told of each finding, in order, as soon as it is known.
        limits: How long to wait for what.
        wall: Seconds since the epoch.

    Returns:
        All of them.
    """
    instruments = Instruments(config, limits, wall)
    entries = []
    try:
        async for check, result in run_checks(build_checks(config, instruments), limits.total_s, audience.wait):
            for finding in result.findings:
                entries.append(Entry(check.group, finding))
                audience.tell(entries[-1])
    finally:
        await instruments.close()
    return entries


async def doctor(config: Config, path: Path | None, out: TextIO, *, as_json: bool) -> int:
    """Examine, and report.

    Args:
        config: Checked.
        path: Its file, None for the built-in profile.
        out: Gets the report.
        as_json: One JSON document at the end, instead of lines as they come.

    Returns:
        The exit code: 0 when no link is broken, else 1.
    """
    mask = Redactor(find_secrets(config), Redactions()).mask
    about = describe_run(path)
    if as_json:
        entries = await examine(config, Silence())
        write_document(build_document(about, entries), out, mask)
        return choose_exit_code(entries)
    printer = Printer(out, mask)
    printer.show(f"rapidsos-proxy doctor {about['version']}, {about['at']}, {about['system']}")
    printer.show(f"Examining {about['configuration']}; this takes less than ten seconds.")
    entries = await examine(config, printer)
    printer.show("")
    printer.show(build_conclusion(entries))
    return choose_exit_code(entries)


def report_config_error(error: ConfigError, path: Path | None, out: TextIO) -> int:
    """Report, as JSON, a configuration that cannot be used; no secret is in such an error."""
    write_document(build_config_document(describe_run(path), error), out, str)
    return CONFIGURATION


def describe_run(path: Path | None) -> dict[str, str]:
    """Say what was examined, when, and by what."""
    return {
        "version": find_version(),
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "system": f"{platform.system()}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "configuration": "the built-in profile" if path is None else str(path),
    }


def write_document(document: dict[str, Any], out: TextIO, mask: Callable[[str], str]) -> None:
    """Write one JSON document, every text of it masked."""
    text = orjson.dumps(_mask(document, mask), option=orjson.OPT_INDENT_2).decode()
    print(escape_unprintable(text, keep="\n"), file=out)


def _mask(value: Any, mask: Callable[[str], str]) -> Any:  # noqa: ANN401 (whatever JSON holds)
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _mask(item, mask) for key, item in value.items()}
        case list():
            return [_mask(item, mask) for item in value]
        case _:
            return value
