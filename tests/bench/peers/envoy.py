"""Envoy with its credential_injector: it fetches tokens itself, by client credentials, and logs the headers as JSON.

One worker thread (``--concurrency 1``).  Its circuit breakers are set aside, as our limits are: 2,000 clients are more
than either allows by default.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Place

_TYPE = "type.googleapis.com/envoy.extensions."
_UNBOUNDED = 1_000_000
_HEADERS = {
    "start": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "accept": "%REQ(ACCEPT)%",
    "request_type": "%REQ(CONTENT-TYPE)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "type": "%RESP(CONTENT-TYPE)%",
    "server": "%RESP(SERVER)%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
}


def prepare(place: Place) -> Sequence[str]:
    """Write the configuration, JSON being YAML; return the command."""
    clusters = [_build_cluster("upstream", place.upstream), _build_cluster("authority", _find_authority(place))]
    if place.setting.ca is not None:
        clusters[0]["transport_socket"] = _build_tls(str(place.setting.ca))
    config = {
        "static_resources": {
            "listeners": [_build_listener(place)],
            "clusters": clusters,
            "secrets": [
                {
                    "name": "client-secret",
                    "generic_secret": {
                        "secret": {"inline_string": place.setting.authority.settings.client_secret.reveal()}
                    },
                }
            ],
        },
    }
    path = place.write("envoy.yaml", json.dumps(config, indent=1))
    return place.program, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"


def _build_listener(place: Place) -> dict[str, Any]:
    manager = {
        **_typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "race",
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    **_typed("access_loggers.file.v3.FileAccessLog"),
                    "path": str(place.access_log),
                    "log_format": {"json_format": _HEADERS},
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.credential_injector", "typed_config": _build_injector(place)},
            {"name": "envoy.filters.http.router", "typed_config": _typed("filters.http.router.v3.Router")},
        ],
    }
    return {
        "address": _build_address(f"127.0.0.1:{place.port}"),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _build_injector(place: Place) -> dict[str, Any]:
    return {
        **_typed("filters.http.credential_injector.v3.CredentialInjector"),
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": {
                **_typed("http.injected_credentials.oauth2.v3.OAuth2"),
                "token_endpoint": {"uri": place.setting.token_url, "cluster": "authority", "timeout": "5s"},
                "client_credentials": {
                    "client_id": place.setting.authority.settings.client_id,
                    "client_secret": {"name": "client-secret"},
                },
            },
        },
    }


def _build_cluster(name: str, address: str) -> dict[str, Any]:
    many = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _UNBOUNDED)
    return {
        "name": name,
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _build_address(address)}}]}],
        },
    }


def _build_tls(ca: str) -> dict[str, Any]:
    names = [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]
    validation = {"trusted_ca": {"filename": ca}, "match_typed_subject_alt_names": names}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            **_typed("transport_sockets.tls.v3.UpstreamTlsContext"),
            "sni": "localhost",
            "common_tls_context": {"validation_context": validation},
        },
    }


def _build_address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _find_authority(place: Place) -> str:
    return urlsplit(place.setting.token_url).netloc


def _typed(name: str) -> dict[str, Any]:
    return {"@type": _TYPE + name}
