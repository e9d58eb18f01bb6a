"""HAProxy with a token that it is given, one thread, and no log: it writes none to files."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Place

_CONFIG = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    http-reuse always
frontend cad
    bind 127.0.0.1:{port}
    http-request set-header Authorization "Bearer {token}"
    default_backend rapidsos
backend rapidsos
    server rapidsos {upstream} {tls}
"""
_TLS = "ssl verify required ca-file {ca} sni str(localhost) verifyhost localhost"
_ENOUGH = 12_000
_OWN_DESCRIPTORS = 500


def prepare(place: Place) -> Sequence[str]:
    """Write the configuration; return the command."""
    ca = place.setting.ca
    config = _CONFIG.format(
        connections=find_most_clients(),
        port=place.port,
        token=place.token,
        upstream=place.upstream,
        tls="" if ca is None else _TLS.format(ca=ca),
    )
    return place.program, "-db", "-f", str(place.write("haproxy.cfg", config))


def find_most_clients() -> int:
    """Return how many clients at once it can be set to: each may take two descriptors, and it insists on both."""
    return min(_ENOUGH, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_DESCRIPTORS) // 2)
