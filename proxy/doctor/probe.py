"""The harmless question to an upstream, and what its answer says of the token.

The rule of this file: pure.  A question reads, names nobody, and is none that RapidSOS forbids to repeat (the list of
alerts is); nothing is ever sent to ingress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.doctor.finding import STATUS_PAGE, Place, Whose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.models import Route
    from proxy.doctor.finding import Finding

NO_PRODUCT = b"InvalidAPICallAsNoApiProductMatchFound"
"""How RapidSOS's gateway says that the token is good and the product is missing: with status 401."""
UNAUTHORIZED, FORBIDDEN, TOO_MANY = 401, 403, 429
FIRST_OK, FIRST_REDIRECT, FIRST_SERVER_ERROR = 200, 300, 500


@dataclass(frozen=True, slots=True)
class Probe:
    """A question.

    Attributes:
        path: Asked for by GET.
        expected: The status that it has from whoever knows the token; None when no answer proves it.
        meaning: What that answer means.
        is_authorized: Whether the credential is sent.
    """

    path: str
    expected: int | None
    meaning: str
    is_authorized: bool = True


LOCATION = Probe("/v1/location", 400, "a location without a caller")
"""Documented: 400 when caller_id is missing."""
ALERT = Probe("/v1/alerts/alert-00000000-0000-0000-0000-000000000000", 404, "an alert that does not exist")
"""Documented: 404 for an unknown one, after the token was looked at."""
NOTHING = Probe("/", None, "nothing", is_authorized=False)
"""For Basic, which LIS requests alone try, and for persons who prove themselves: a guess could lock an account."""


def choose_probe(routes: Iterable[Route], *, is_tried: bool) -> Probe:
    """Choose the question by the routes that lead to an upstream: the alerts (EDX) host has an API of its own."""
    if not is_tried:
        return NOTHING
    return ALERT if any(map(_leads_to_alerts, routes)) else LOCATION


def _leads_to_alerts(route: Route) -> bool:
    hosts = (route.upstream.host, route.match.host or "")
    return "/alerts" in route.match.path or any(host.startswith(("edx.", "edx-")) for host in hosts)


def build_probe(probe: Probe, host_field: str, authorization: str | None) -> bytes:
    """Build the request.

    Args:
        probe: What to ask.
        host_field: Value of Host.
        authorization: The credential's, left out where None.
    """
    lines = [
        f"GET {probe.path} HTTP/1.1",
        f"Host: {host_field}",
        "Accept: application/json",
        "User-Agent: rapidsos-auth-proxy doctor",
        "Connection: close",
    ]
    if authorization is not None:
        lines.append(f"Authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def judge_reply(place: Place, probe: Probe, status: int, body: bytes, *, is_page: bool) -> Finding:
    """Judge an upstream's answer.

    Args:
        place: The link.
        probe: What was asked.
        status: Of the answer.
        body: Its beginning.
        is_page: Whether it is a web page.
    """
    if status >= FIRST_SERVER_ERROR:
        return place.failed(f"fails by itself ({status})", STATUS_PAGE, Whose.RAPIDSOS)
    if not probe.is_authorized:
        return place.skipped(f"answers ({status}), asked without a login; a login is for real requests to try")
    if is_page:
        fix = "find out who sends the page, the centre's web filter perhaps, and have it leave this host alone"
        return place.failed(f"a web page answers ({status}), and no API", fix, Whose.NETWORK)
    if status == probe.expected or FIRST_OK <= status < FIRST_REDIRECT:
        return place.ok(f"the token is accepted (asked for {probe.meaning}: {status})")
    return _judge_refusal(place, status, body)


def _judge_refusal(place: Place, status: int, body: bytes) -> Finding:
    if status == FORBIDDEN or (status == UNAUTHORIZED and NO_PRODUCT in body):
        fix = "ask RapidSOS to give this client id the product"
        return place.failed(f"the token is good, but has no right to this product ({status})", fix, Whose.RAPIDSOS)
    if status == UNAUTHORIZED:
        fix = (
            "use the token server of this upstream's own family (the alerts host has one) and environment; if that is "
            "so, ask RapidSOS whether the client id has the product"
        )
        return place.failed(f"does not accept the token that it was just given ({status})", fix, Whose.CONFIGURATION)
    if status == TOO_MANY:
        return place.warning(f"says that it is asked too often ({status})", "wait a minute", Whose.RAPIDSOS)
    fix = "send a real request through the proxy to see whether the token is accepted"
    return place.warning(f"answers, but not as documented ({status}); that proves little", fix, Whose.RAPIDSOS)
