"""The proxy's own ports: free, held by this very proxy, or taken by another program; and their certificates.

The rule of this file: whoever holds a port is asked for something that it refuses: TRACE, which goes nowhere.
"""

from __future__ import annotations

import asyncio
import errno
import time
from functools import partial
from typing import TYPE_CHECKING

from proxy.ca.authority import read_authority_validity
from proxy.certificates import CertificateError, read_validity
from proxy.doctor.check import Result
from proxy.doctor.finding import Whose
from proxy.http.problem import PROXY_NAME, TYPE_PREFIX
from proxy.interception import FIX as NEW_AUTHORITY
from proxy.relay.listener import build_bind_error
from proxy.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.certificates import Validity
    from proxy.config.models import Interception, ListenerTLS
    from proxy.config.units import SocketAddress
    from proxy.doctor.finding import Finding, Place

MOST_ANSWER_BYTES = 4096
OURS = (f"Proxy-Status: {PROXY_NAME}".encode(), TYPE_PREFIX.encode())
"""One of these stands in every refusal of ours, the admin listener's included."""


async def check_port(place: Place, address: SocketAddress) -> Result:
    """Look whether the proxy could listen at ``address``, or does."""
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, address.host, address.port, start_serving=False
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Result((await _tell_holder(place, address),))
        refused = build_bind_error(place.subject, address, error)
        return Result((place.failed(refused.problem, refused.fix, Whose.MACHINE),))
    server.close()
    return Result((place.ok(f"{address} is free; the proxy is not running there"),))


async def check_certificate(place: Place, tls: ListenerTLS) -> Result:
    """Look whether a listener's certificate is good, and will be next week."""
    fix = "renew it, and put the new one into the same file"
    return await _check_validity(place, tls.certificate, partial(read_validity, tls), fix)


async def check_authority(place: Place, settings: Interception) -> Result:
    """Look whether the local authority is good, and will be next week."""
    read = partial(read_authority_validity, settings)
    return await _check_validity(place, settings.ca_certificate, read, NEW_AUTHORITY)


async def _check_validity(place: Place, path: str, read: Callable[[], Validity], fix: str) -> Result:
    try:
        validity = await in_thread(read, name="certificate")
    except CertificateError as error:  # it could be read when the configuration was
        return Result((place.failed(error.problem, error.fix, Whose.CONFIGURATION),))
    if (trouble := validity.find_trouble(time.time())) is not None:
        return Result((place.warning(f"{path} {trouble}", fix, Whose.CONFIGURATION),))
    return Result((place.ok(f"{path} is good until {validity.until}"),))


async def _tell_holder(place: Place, address: SocketAddress) -> Finding:
    answer = await _ask(address)
    if any(mark in answer for mark in OURS):
        return place.ok(f"{address} is answered by this proxy, which is running")
    fix = "stop that program, or choose another port"
    return place.failed(f"{address} is taken by another program", fix, Whose.MACHINE)


async def _ask(address: SocketAddress) -> bytes:
    """Return how the holder of a port answers TRACE; nothing if it does not."""
    host = address.host if not address.address.is_unspecified else ("::1" if ":" in address.host else "127.0.0.1")
    try:
        reader, writer = await asyncio.open_connection(host, address.port)
    except OSError:
        return b""
    try:
        writer.write(f"TRACE / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    try:
        async with asyncio.timeout(1.0):
            while len(answer) < MOST_ANSWER_BYTES and (data := await reader.read(MOST_ANSWER_BYTES)):
                answer += data
    except (OSError, TimeoutError):
        pass
    return answer
