"""Tunnels that clients ask for (CONNECT) and that end here: for which hosts, and what their TLS is made with.

The rule of this file: no byte of a tunnel is ever sent on as it came.  What is not opened here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.exchange import Connect
    from proxy.relay.handshakes import Failure, Handshakes

_TRUST = frozenset({"certificate_refused", "gave_up", "left"})
"""How clients end that do not believe a certificate: most say so, others only close."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One that was granted.

    Attributes:
        connect: The request for it.
        context: For the handshake in it.
        handshakes: Is told if that fails.
    """

    connect: Connect
    context: ssl.SSLContext
    handshakes: Handshakes


class Interceptor(Protocol):
    """What one listener's tunnels are opened with."""

    @property
    def contexts(self) -> Mapping[str, ssl.SSLContext]:
        """For the next handshake, by host: every routed one of the listener."""
        ...

    @property
    def handshakes(self) -> Handshakes:
        """Is told of those that fail."""
        ...


def explain_distrust(failure: Failure, ca_certificate: str) -> Failure:
    """Say of a failure in a tunnel what to do about it, where the client may not trust the local authority."""
    if failure.reason not in _TRUST:
        return failure
    fix = (
        f"import {ca_certificate} into the trust store that this client uses, and only there; "
        "`rapidsos-proxy ca init --help` says more"
    )
    if failure.reason == "certificate_refused":
        problem = "it does not trust the certificate that it was shown in RapidSOS's place"
        return replace(failure, problem=problem, fix=fix)
    return replace(failure, fix=f"it may not trust the certificate that it was shown in RapidSOS's place: {fix}")
