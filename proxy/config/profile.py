"""The built-in profile: a whole configuration from three environment variables.

RAPIDSOS_ENVIRONMENT, RAPIDSOS_CLIENT_ID and RAPIDSOS_CLIENT_SECRET; each of the last two may be given as NAME_FILE
instead, which is what container platforms mount.  The alerts (EDX) host has a token server of its own.  RapidSOS
gives some agencies a second pair of credentials for it, RAPIDSOS_EDX_CLIENT_ID and RAPIDSOS_EDX_CLIENT_SECRET; where
there is none, the one pair is tried at both, and an EDX server that refuses it makes only the alerts route fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.config.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.problems import Problems

SOURCE = "environment"
"""What error messages call the built-in profile."""
ENVIRONMENT = "RAPIDSOS_ENVIRONMENT"
PAIR = ("RAPIDSOS_CLIENT_ID", "RAPIDSOS_CLIENT_SECRET")
EDX_PAIR = ("RAPIDSOS_EDX_CLIENT_ID", "RAPIDSOS_EDX_CLIENT_SECRET")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of one RapidSOS environment; EDX is the one that has the alerts."""

    core: str
    edx: str


HOSTS = {
    "sandbox": Hosts("api-sandbox.rapidsos.com", "edx-sandbox.rapidsos.com"),
    "production": Hosts("api.rapidsos.com", "edx.rapidsos.com"),
}


def build_profile(environ: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """Build the configuration as a file would hold it, its secrets still unread.

    Args:
        environ: The process's environment.
        problems: Takes what is missing or contradicts itself.

    Returns:
        The document; of no use once a problem was noted.
    """
    hosts = _choose_hosts(environ, problems)
    pair = _find_pair(PAIR, environ, problems)
    has_edx_pair = any(_find_source(name, environ) for name in EDX_PAIR)
    edx_pair = _find_pair(EDX_PAIR, environ, problems) if has_edx_pair else pair
    return {
        "listener": [{"name": "cad", "bind": "127.0.0.1:8080"}],
        "credential": {"core": _build_credential(hosts.core, pair), "edx": _build_credential(hosts.edx, edx_pair)},
        "route": _build_routes(hosts),
    }


def _build_routes(hosts: Hosts) -> list[dict[str, Any]]:
    """The hosts' own routes come first: a client that names RapidSOS itself gets its path through untouched."""
    core = {"upstream": f"https://{hosts.core}", "credential": "core"}
    edx = {"upstream": f"https://{hosts.edx}", "credential": "edx"}
    return [
        {"name": "core-host", "match": {"host": hosts.core}, **core},
        {"name": "edx-host", "match": {"host": hosts.edx}, **edx},
        {"name": "ingress", "match": {"path": "/ingress/"}, "strip": "/ingress", **core},
        {"name": "alerts", "match": {"path": "/egress/v1/alerts"}, "strip": "/egress", **edx},
        {"name": "egress", "match": {"path": "/egress/"}, "strip": "/egress", **core},
    ]


def _build_credential(host: str, pair: dict[str, Any]) -> dict[str, Any]:
    return {"grant": "client_credentials", "token_url": f"https://{host}/oauth/token", **pair}


def _choose_hosts(environ: Mapping[str, str], problems: Problems) -> Hosts:
    chosen = environ.get(ENVIRONMENT, "")
    if chosen not in HOSTS:
        near = suggest(chosen, HOSTS)
        fix = f"did you mean {near}?" if near else f"set {ENVIRONMENT} to sandbox or production"
        problem = f'is "{chosen}"; it can be sandbox or production' if chosen else "is not set, and has no default"
        problems.add(ENVIRONMENT, problem, fix if chosen else f"{fix}, or name a file with --config")
    return HOSTS.get(chosen, HOSTS["sandbox"])


def _find_pair(names: tuple[str, str], environ: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    pair: dict[str, Any] = {}
    for key, name in zip(("client_id", "client_secret"), names, strict=True):
        if environ.get(name) and environ.get(f"{name}_FILE"):
            problems.add(name, f"and {name}_FILE are both set", "unset one of them")
        if (source := _find_source(name, environ)) is not None:
            pair[key] = source
        else:
            problems.add(name, "is not set, or empty", f"set {name}, or {name}_FILE to a file that holds it")
    return pair


def _find_source(name: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    if path := environ.get(f"{name}_FILE"):
        return {"file": path}
    return {"env": name} if environ.get(name) else None
