"""From a TOML file, or the environment alone, to a checked Config.

The rule of this file: whoever gets a Config can use it; whoever gets a ConfigError learns of everything that is wrong
in one reading, with file, key and fix.
"""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from proxy.config.check import check_config
from proxy.config.models import Admin, Config
from proxy.config.places import SourceError
from proxy.config.problems import Problems
from proxy.config.profile import SOURCE, build_profile
from proxy.config.secret import Secret
from proxy.config.sources import Sources
from proxy.config.translate import add_objections
from proxy.errors import ConfigError
from proxy.routing.check import check_routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATHS = (
    ("traffic_log", "path"),
    ("outbound", "ca_file"),
    ("admin", "control"),
    ("store", "file"),
    ("store", "ca_file"),
)
_MAY_BE_LITERAL = frozenset({"client_id", "username"})
_CREDENTIAL_SECRETS = ("client_id", "client_secret", "username", "password")
_TOML_PLACE = re.compile(
    r"(?P<what>.*) \((?:at line (?P<line>\d+), column (?P<column>\d+)|at end of document)\)", re.DOTALL
)


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Load the configuration.

    Args:
        path: The TOML file; None takes the built-in profile.
        environ: Variables for ``{ env = … }`` and the built-in profile.

    Raises:
        ConfigError: With every problem found.
    """
    problems = Problems(SOURCE if path is None else str(path))
    document = build_profile(environ, problems) if path is None else read_document(path)
    problems.raise_any()
    return build_config(document, problems, Path() if path is None else path.parent, environ)


def load_admin(path: Path | None) -> Admin:
    """Load the ``[admin]`` section alone: all that a command needs to find the running proxy.

    No secret is read, so that it works from a shell that has none of them.

    Args:
        path: The TOML file; None takes the built-in profile.

    Raises:
        ConfigError: With every problem found in the section.
    """
    document = {} if path is None else read_document(path)
    _resolve_paths(document, Path() if path is None else path.parent)
    table = document.get("admin", {})
    if isinstance(table, dict):
        table = {key: value for key, value in table.items() if key != "password"}
    try:
        return Admin.model_validate(table)
    except ValidationError as error:
        problems = Problems(str(path))
        found = error.errors(include_url=False, include_input=False)
        add_objections(problems, document, [{**one, "loc": ("admin", *one["loc"])} for one in found])
        raise problems.build_error() from None


def build_config(document: dict[str, Any], problems: Problems, base: Path, environ: Mapping[str, str]) -> Config:
    """Build the configuration that a parsed file describes.

    Args:
        document: As tomllib gives it.
        problems: Names the file in messages.
        base: Directory that relative paths start from.
        environ: Variables for ``{ env = … }``.

    Raises:
        ConfigError: With every problem found.
    """
    document = deepcopy(document)
    _resolve_paths(document, base)
    _read_secrets(document, Sources(base, environ), problems)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        add_objections(problems, document, error.errors(include_url=False, include_input=False))
        raise problems.build_error() from None  # pydantic's own holds the values
    check_config(config, problems)
    try:
        check_routes(config)
    except ConfigError as error:
        problems.add(error.where, error.problem, error.fix)
    problems.raise_any()
    return config


def read_document(path: Path) -> dict[str, Any]:
    """Parse a TOML file, a byte order mark before it allowed.

    Raises:
        ConfigError: If it cannot be read, or is not TOML; with line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        fix = "check the path, and that the proxy's user may read the file"
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", fix) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.fullmatch(str(error))
        what = found["what"] if found else str(error)
        where = f"line {found['line']}, column {found['column']}" if found and found["line"] else "end of file"
        fix = "correct that line; a text stands in quotes, with a backslash in it doubled or the quotes single"
        place = f"{path}: {where}"
        raise ConfigError(place, f"is not TOML: {what[:1].lower()}{what[1:]}", fix) from None


def _resolve_paths(document: dict[str, Any], base: Path) -> None:
    """Make paths relative to the file independent of where the proxy is started."""
    for section, key in _PATHS:
        table = document.get(section)
        if isinstance(table, dict) and isinstance(value := table.get(key), str) and value not in {"-", ""}:
            table[key] = str(base / value)


def _read_secrets(document: dict[str, Any], sources: Sources, problems: Problems) -> None:
    """Put a Secret in the place of every source; one that cannot be read leaves an empty one and a problem."""
    for key, table, name in _find_secrets(document):
        value = table[name]
        table[name] = Secret("", "")
        try:
            table[name] = sources.read(value, may_be_literal=name in _MAY_BE_LITERAL)
        except SourceError as error:
            problems.add(key, error.problem, error.fix)


def _find_secrets(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield key, table and name of every secret that is set, whatever else may be wrong with the document."""
    credentials = document.get("credential")
    places = [
        ("outbound", document.get("outbound"), ("username", "password")),
        ("admin", document.get("admin"), ("password",)),
        ("store", document.get("store"), ("username", "password", "key")),
    ]
    if isinstance(credentials, dict):
        places += [(f"credential.{name}", table, _CREDENTIAL_SECRETS) for name, table in credentials.items()]
        places += [
            (f"credential.{name}.users.{user}", person, ("username", "password"))
            for name, table in credentials.items()
            if isinstance(table, dict) and isinstance(users := table.get("users"), dict)
            for user, person in users.items()
        ]
    for key, table, names in places:
        if isinstance(table, dict):
            yield from ((f"{key}.{name}", table, name) for name in names if name in table)
