"""Refuses what a web page could make an administrator's browser send here.

The rule of this file: what a stranger looks like is proxy.http.admission's to say, for this listener as for those of
clients; only the way out is another, and where there is a login no name is trusted that a neighbour could give.  The
open paths are guarded too: they speak to probes, not to pages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.errors import CrossSite, WrongHost
from proxy.http.admission import Admission, is_same_origin
from proxy.http.fields import build_section
from proxy.http.head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from proxy.http.targets import Target

PSEUDONYM = "rapidsos-proxy-admin"
"""Nothing is forwarded from here, so no Via can truly bear it."""
LOCALHOST = "localhost"

_ORIGIN_OF = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


def build_guard(names: Iterable[str], *, trusts_local_names: bool) -> Middleware:
    """Build the step that every request passes first.

    Args:
        names: Host names of this listener beyond addresses and localhost: the machine's, and ``admin.names``.
        trusts_local_names: Whether single labels and local names are taken too: where there is no login to be had.
    """
    admission = Admission(
        names=(LOCALHOST, *names),
        routed_hosts=(),
        allow_origins=(),
        pseudonym=PSEUDONYM,
        trusts_local_names=trusts_local_names,
    )

    @web.middleware
    async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in that asks for this listener by a name of its own, and from no other site."""
        try:
            head = _read_head(request)
            _check_referer(head, admission.admit(head))
        except WrongHost as error:
            detail = "Use this machine's address or name, or add the name to admin.names in the configuration."
            raise WrongHost(detail) from error
        except CrossSite as error:
            detail = "A web page of another site sent this; open the address by itself, not from a link."
            raise CrossSite(detail) from error
        return await handler(request)

    return refuse_strangers


def _check_referer(head: RequestHead, target: Target) -> None:
    """Refuse a page that only its Referer gives away: one without TLS, whose browser sends no Sec-Fetch-Site.

    Raises:
        CrossSite: If the page is of another origin.
    """
    for value in head.all("referer"):
        found = _ORIGIN_OF.match(value)
        if found is None or not is_same_origin(found[0], target):
            detail = "Referer names another site"
            raise CrossSite(detail)


def _read_head(request: web.Request) -> RequestHead:
    """Return the head that aiohttp has parsed in the shape of our own parser's."""
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
    return RequestHead(request.version.minor, build_section(fields), 0, request.method, request.raw_path)
