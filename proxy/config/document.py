"""A TOML file to the document in it; what is no TOML is told by line, with the fix of the usual mistakes.

The rule of this file: a line is looked at only to see which mistake it is, and never quoted: a secret may stand there.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

LISTS = frozenset({"listener", "route"})
"""Sections of which there are several, each begun with its name in two brackets."""
_PLACE = re.compile(r"(?P<what>.*) \((?:at line (?P<line>\d+), column (?P<column>\d+)|at end of document)\)", re.DOTALL)
_HEADER = re.compile(r"\s*(?P<brackets>\[\[?)\s*(?P<name>[\w.-]+)")
_TWICE = re.compile(r"Cannot (?:declare .* twice|overwrite a value|mutate immutable namespace.*)", re.DOTALL)
_CURLY = re.compile("[\u2018-\u201f\u00ab\u00bb]")
_ANY_FIX = "correct that line; a text stands in quotes, with a backslash in it doubled or the quotes single"


def read_document(path: Path) -> dict[str, Any]:
    """Parse a TOML file, a byte order mark before it allowed.

    Raises:
        ConfigError: If it cannot be read, or is not TOML; with line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _build_read_error(path, error) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _build_syntax_error(path, text, str(error)) from None


def _build_read_error(path: Path, error: OSError) -> ConfigError:
    match error:
        case FileNotFoundError():
            problem, fix = "there is no such file", f"check the path; it was looked for at {path.absolute()}"
        case IsADirectoryError():
            problem, fix = "is a directory", f"name the file in it, such as {path / 'proxy.toml'}"
        case PermissionError():
            problem = "may not be read by the user that runs this"
            fix = "give that user the right to read the file, and to enter the directories above it"
        case _:
            problem, fix = f"cannot be read ({error.strerror})", "check the path, and the disk or share that it is on"
    return ConfigError(str(path), problem, fix)


def _build_syntax_error(path: Path, text: str, message: str) -> ConfigError:
    found = _PLACE.fullmatch(message)
    what = found["what"] if found else message
    if found is None or found["line"] is None:
        return ConfigError(f"{path}: end of file", f"is not TOML: {_lower(what)}", _ANY_FIX)
    line = text.replace("\r\n", "\n").split("\n")[int(found["line"]) - 1]
    problem, fix = _explain(what, line)
    return ConfigError(f"{path}: line {found['line']}, column {found['column']}", problem, fix)


def _explain(what: str, line: str) -> tuple[str, str]:
    """Say what is wrong with a line, and the fix."""
    problem = f"is not TOML: {_lower(what)}"
    header, is_twice = _HEADER.match(line), _TWICE.fullmatch(what) is not None
    if header is not None and (is_twice or what.startswith("Expected ']")):
        problem = f"there is a table {header['name']} above already" if is_twice else problem
        return problem, _fix_header(header["name"], is_list=header["brackets"] == "[[")
    if _CURLY.search(line) is not None:
        return "is not TOML: there are curly quotes, as word processors make them", "type straight ones: \" or '"
    return problem, _ANY_FIX


def _fix_header(name: str, *, is_list: bool) -> str:
    if name in LISTS:
        return f"write [[{name}]], with two brackets, for this one and every other {name}"
    if is_list:
        return f"write [{name}], in single brackets"
    return f"write [{name}] once, with all its keys below it; a second one of its kind needs a name of its own"


def _lower(what: str) -> str:
    return what[:1].lower() + what[1:]
