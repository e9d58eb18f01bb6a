"""One token call over HTTP, and every way in which it can fail mapped to FetchError in one place.

The rule of this file: the request, its headers and the answer go into no error and no log.  It is never redirected,
reads at most 64 KiB, and trusts no environment variable.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
from yarl import URL

from proxy.errors import FetchError
from proxy.http.authority import build_authority, is_loopback
from proxy.http.basic import build_basic
from proxy.resolver import AiohttpResolver, Resolver
from proxy.tls import build_tls_context, explain_handshake
from proxy.tokens.answers import ParsedToken, TokenAnswer, parse_token_answer
from proxy.tokens.token import NETWORK, TIMEOUT, UNREADABLE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from proxy.config.models import Outbound
    from proxy.tokens.grants import TokenRequest

LONGEST_ANSWER_BYTES = 65_536
"""A token answer is 1 to 3 KB; more is a wrong page or an attack."""
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib's way to say: tell the two apart by their first bytes."""


class Fetch(Protocol):
    """One token call: the seam between a token source and the network."""

    async def __call__(self, request: TokenRequest) -> ParsedToken:
        """Send ``request`` once.

        Raises:
            FetchError: If it brought no usable token.
        """
        ...


class TokenFetcher:
    """Sends token requests; one for all credentials.

    Every call has a connection of its own: they are minutes apart, and an idle connection that has died meanwhile
    would cost the one call that matters.
    """

    def __init__(
        self,
        outbound: Outbound,
        timeout_s: float,
        *,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; the session is opened by the first call.

        Args:
            outbound: The corporate proxy and the extra certificates, if any.
            timeout_s: For a whole call.
            tls: Instead of the context that ``outbound`` describes.
            resolver: Instead of one of its own.
            wall: Seconds since the epoch.
        """
        self._resolver = AiohttpResolver(resolver or Resolver(timeout_s))
        self._wall = wall
        self._tls = tls or build_tls_context(outbound.ca_file)
        self._timeout_s = timeout_s
        self._proxy = None if outbound.proxy is None else str(outbound.proxy)
        self._proxy_fields = _build_proxy_fields(outbound)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: TokenRequest) -> ParsedToken:
        """Send ``request`` once; see ``Fetch``."""
        try:
            # Not aiohttp's own limit: it works by cancelling, and takes a stop that comes with it for its own.
            async with asyncio.timeout(self._timeout_s):
                answer = await self._send(request)
        except (aiohttp.ClientError, OSError) as error:
            # From None: aiohttp's errors carry the request, its Authorization included.
            raise _map_error(error) from None
        return parse_token_answer(answer, self._wall())

    async def close(self) -> None:
        """Close the session, if there is one."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a slow server must not keep the other credentials' calls waiting.
                connector=aiohttp.TCPConnector(
                    limit=0, force_close=True, use_dns_cache=False, ssl=self._tls, resolver=self._resolver
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def _send(self, request: TokenRequest) -> TokenAnswer:
        headers = {"Accept-Encoding": "identity", "User-Agent": "rapidsos-auth-proxy", **request.headers}
        url = URL(request.url)
        # What is on this machine is not asked for through another.
        proxy = None if is_loopback(url.host or "") else self._proxy
        if proxy is not None and url.scheme == "http":
            # No CONNECT, so aiohttp sends proxy_headers nowhere.
            headers |= self._proxy_fields
        async with self._open().post(
            url,
            data=request.body,
            headers=headers,
            allow_redirects=False,
            proxy=proxy,
            proxy_headers=self._proxy_fields,
        ) as response:
            body = await _read(response)
            fields = response.headers
            return TokenAnswer(response.status, body, fields.get("Retry-After"), fields.get("Date"))


def _build_proxy_fields(outbound: Outbound) -> dict[str, str]:
    """Build the login at the corporate proxy, if there are both."""
    if outbound.proxy is None or outbound.username is None or outbound.password is None:
        return {}
    return {"Proxy-Authorization": build_basic(outbound.username.reveal(), outbound.password.reveal())}


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, decoded, up to the limit.

    It was asked for as it is, but some gateways compress all the same.
    """
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > LONGEST_ANSWER_BYTES:
            raise _too_long(response.status)
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        return bytes(data)
    return _decode(bytes(data), response.status)


def _decode(data: bytes, status: int) -> bytes:
    """Decode gzip or deflate (RFC 9110, section 8.4.1), never to more than the limit."""
    decoder = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        body = decoder.decompress(data, LONGEST_ANSWER_BYTES + 1)
    except zlib.error:
        body = b""
    if len(body) > LONGEST_ANSWER_BYTES:
        raise _too_long(status)
    if not decoder.eof:
        detail = f"the authorization server's answer ({status}) has an unreadable Content-Encoding"
        raise FetchError(UNREADABLE, detail, status=status)
    return body


def _too_long(status: int) -> FetchError:
    detail = f"the authorization server's answer ({status}) is longer than {LONGEST_ANSWER_BYTES} bytes"
    return FetchError(UNREADABLE, detail, status=status)


# In this order: aiohttp's classes descend from one another and from OSError.
WORDS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (TimeoutError, TIMEOUT, "the authorization server did not answer in time"),
    (aiohttp.ClientConnectorCertificateError, NETWORK, "the authorization server's certificate is not trusted"),
    (aiohttp.ClientSSLError, NETWORK, "the TLS handshake with the authorization server failed"),
    (aiohttp.ClientProxyConnectionError, NETWORK, "the corporate proxy could not be reached"),
    (aiohttp.ClientHttpProxyError, NETWORK, "the corporate proxy refused the connection"),
    (aiohttp.ClientConnectorDNSError, NETWORK, "the authorization server's name could not be resolved"),
    (aiohttp.ClientConnectorError, NETWORK, "the authorization server could not be reached"),
    (aiohttp.ClientResponseError, UNREADABLE, "the authorization server did not answer in HTTP"),
    (aiohttp.InvalidURL, NETWORK, "token_url is no URL that can be called"),
    (Exception, NETWORK, "the connection to the authorization server was cut"),
)
"""What is said of each error; the texts of aiohttp may quote URLs and headers."""


def _map_error(error: Exception) -> FetchError:
    kind, words = next((kind, words) for cause, kind, words in WORDS if isinstance(error, cause))
    return FetchError(kind, words + _find_cause(error))


def _find_cause(error: Exception) -> str:
    """Return what a person needs beyond the words, from sources that cannot hold a secret."""
    cause = ""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = getattr(error.certificate_error, "verify_message", "")
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        cause = str(error.status)
    elif isinstance(error, aiohttp.ClientSSLError):
        cause = explain_handshake(build_authority(error.host, error.port), error.os_error)
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = _find_os_cause(error.os_error)
    return f": {cause}" if cause else ""


def _find_os_cause(error: OSError) -> str:
    if error.errno is None and isinstance(error, ConnectionResetError):
        return "it closed during the TLS handshake; it may speak nothing above TLS 1.1"
    # The errno's own text, since asyncio's lists addresses; getaddrinfo's are below zero and mean something else.
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else ""
