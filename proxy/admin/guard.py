"""Refuses what a web page could make an administrator's browser send here.

The rule of this file: what a stranger looks like is proxy.http.admission's to say, for this listener as for those of
clients; only the way out is another.  The open paths are guarded too: they speak to probes, not to pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.errors import CrossSite, WrongHost
from proxy.http.admission import Admission
from proxy.http.fields import build_section
from proxy.http.head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

PSEUDONYM = "rapidsos-proxy-admin"
"""Nothing is forwarded from here, so no Via can truly bear it."""


def build_guard(names: Iterable[str]) -> Middleware:
    """Build the step that every request passes first.

    Args:
        names: Host names of this listener beyond addresses and local ones: the machine's, and ``admin.names``.
    """
    admission = Admission(names=names, routed_hosts=(), allow_origins=(), pseudonym=PSEUDONYM)

    @web.middleware
    async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            admission.admit(_read_head(request))
        except WrongHost as error:
            detail = "Use this machine's address or name, or add the name to admin.names in the configuration."
            raise WrongHost(detail) from error
        except CrossSite as error:
            detail = "A web page of another site sent this; open the address by itself, not from a link."
            raise CrossSite(detail) from error
        return await handler(request)

    return refuse_strangers


def _read_head(request: web.Request) -> RequestHead:
    """Return the head that aiohttp has parsed in the shape of our own parser's."""
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
    return RequestHead(request.version.minor, build_section(fields), 0, request.method, request.raw_path)
