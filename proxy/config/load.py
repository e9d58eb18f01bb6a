"""From a TOML file, or the environment alone, to a checked Config.

The rule of this file: whoever gets a Config can use it; whoever gets a ConfigError learns in one reading of everything
that is wrong and is not hidden by a mistake in the same table, with file, key and fix.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import ValidationError

from proxy.config.check import check_config
from proxy.config.document import read_document
from proxy.config.inventory import find_configured
from proxy.config.models import Admin, Config, Model, TrafficLog
from proxy.config.oddities import find_oddities
from proxy.config.outline import check_outline
from proxy.config.places import SourceError
from proxy.config.problems import Problems
from proxy.config.profile import SOURCE, build_profile
from proxy.config.salvage import mend_keys, salvage
from proxy.config.secret import Secret
from proxy.config.sources import Sources
from proxy.config.translate import add_objections, build_key
from proxy.routing.check import check_routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Section = TypeVar("Section", bound=Model)
_PATHS = (
    ("traffic_log", "path"),
    ("outbound", "ca_file"),
    ("admin", "control"),
    ("store", "file"),
    ("store", "ca_file"),
    ("interception", "ca_certificate"),
    ("interception", "ca_key"),
)
_TLS_PATHS = ("certificate", "key", "client_ca")
_MAY_BE_LITERAL = frozenset({"client_id", "username"})
_CREDENTIAL_SECRETS = ("client_id", "client_secret", "username", "password")

log = structlog.get_logger(__name__)


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Load the configuration.

    Args:
        path: The TOML file; None takes the built-in profile.
        environ: Variables for ``{ env = … }`` and the built-in profile.

    Raises:
        ConfigError: With every problem found.
    """
    problems = Problems(SOURCE if path is None else str(path))
    if path is not None:
        return build_config(read_document(path), problems, path.parent, environ)
    document = build_profile(environ, problems)
    if problems.are_any:  # in the words of the variables; build_config would repeat them in those of a file
        _read_secrets(document, Sources(Path(), environ), problems)
        problems.raise_any()
    return build_config(document, problems, Path(), environ)


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
    return _validate_section(Admin, "admin", document, _leave_out(document.get("admin", {}), "password"), path)


def load_traffic_log(path: Path, environ: Mapping[str, str]) -> TrafficLog:
    """Load the ``[traffic_log]`` section alone: all that whoever verifies a log needs.

    No secret but the key of the seal is read, so that it works on a machine that has no other.

    Raises:
        ConfigError: With every problem found in the section.
    """
    document = read_document(path)
    _resolve_paths(document, path.parent)
    problems = Problems(str(path))
    section = {"traffic_log": document.get("traffic_log", {})}
    _read_secrets(section, Sources(path.parent, environ), problems)
    problems.raise_any()
    return _validate_section(TrafficLog, "traffic_log", section, section["traffic_log"], path)


def _leave_out(table: object, name: str) -> object:
    return {key: value for key, value in table.items() if key != name} if isinstance(table, dict) else table


def _validate_section(
    model: type[Section], name: str, document: dict[str, Any], table: object, path: Path | None
) -> Section:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        problems = Problems(str(path))
        found = error.errors(include_url=False, include_input=False)
        add_objections(problems, document, [{**one, "loc": (name, *one["loc"])} for one in found])
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
        objections = error.errors(include_url=False, include_input=False)
        add_objections(problems, document, objections)
        mend_keys(document, objections)
        config = salvage(document)
    check_outline(document, problems)
    check_config(config, problems)
    check_routes(config.route, problems)
    problems.raise_any()
    warn_of_oddities(find_configured(config))
    return config


def warn_of_oddities(secrets: Mapping[str, Secret]) -> None:
    """Warn of secrets that look wrongly pasted; one that stands under several keys is told of once."""
    odd: dict[tuple[Secret, str, str], list[str]] = {}
    for key, problem in find_oddities(secrets).items():
        odd.setdefault((secrets[key], secrets[key].origin, problem), []).append(key)
    for (_, source, problem), keys in odd.items():
        fix = "put the value alone there; if it really is so, there is nothing to do"
        log.warning("secret.odd", key=", ".join(keys), source=source, problem=problem, fix=fix)


def _resolve_paths(document: dict[str, Any], base: Path) -> None:
    """Make paths relative to the file independent of where the proxy is started."""
    for section, key in _PATHS:
        table = document.get(section)
        if isinstance(table, dict) and isinstance(value := table.get(key), str) and value not in {"-", ""}:
            table[key] = str(base / value)
    for _, tls in _find_tls(document):
        tls |= {key: str(base / tls[key]) for key in _TLS_PATHS if isinstance(tls.get(key), str) and tls[key]}


def _find_tls(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the table ``tls`` of each listener that has one, by its key."""
    listeners = document.get("listener")
    for place, listener in enumerate(listeners if isinstance(listeners, list | tuple) else ()):
        if isinstance(listener, dict) and isinstance(tls := listener.get("tls"), dict):
            yield build_key(document, ("listener", place, "tls")), tls


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
        *((key, tls, ("key_password",)) for key, tls in _find_tls(document)),
    ]
    if isinstance(traffic_log := document.get("traffic_log"), dict):
        places.append(("traffic_log.seal", traffic_log.get("seal"), ("key",)))
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
