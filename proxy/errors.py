"""Every error that the proxy raises on purpose, sorted by whose fault it was.

    ProxyError
    |-- ConfigError                      start-up only; names the file, the key and the fix
    |-- ExchangeError                    ends one exchange; becomes a problem document
    |   |-- ClientError                  the client's request (4xx)
    |   |   |-- Malformed                400  framing or syntax that could be read two ways
    |   |   |-- ClientTimeout            408  head or body not sent in time
    |   |   |-- LengthRequired           411
    |   |   |-- BodyTooLarge             413
    |   |   |-- TargetTooLong            414
    |   |   |-- HeadTooLarge             431
    |   |   |-- VersionNotSupported      505
    |   |   |-- ClientLogin              401  a route that wants a person's login, and none that is believed
    |   |   |-- ClientNotAllowed         403  the client's address is in none of the listener's networks
    |   |   |-- TargetNotAllowed         403  a host that no route names, or a path that its route leaves out
    |   |   |-- CrossSite                403  a web page of another origin
    |   |   |-- NoRoute                  404
    |   |   |-- MethodNotAllowed         405
    |   |   |-- WrongHost                421  Host that could be a rebound DNS name
    |   |   |-- ClientLimit              429  more than one client's share of connections, exchanges or requests
    |   |   `-- Loop                     508  our own name in Via
    |   |-- TokenError                   the authorization server
    |   |   `-- NoToken                  503  no valid token could be had in time
    |   |-- UpstreamError                the RapidSOS host
    |   |   |-- UpstreamRefused          502  no address accepted a connection, or none may be dialled
    |   |   |-- UpstreamDNS              502
    |   |   |-- UpstreamTLS              502
    |   |   |-- UpstreamProtocol         502  an answer that could be read two ways
    |   |   |-- UpstreamClosed           502  closed before its answer was whole
    |   |   |-- UpstreamTimeout          504
    |   |   `-- BreakerOpen              503  failed several times in a row, and is left alone for some seconds
    |   `-- Unavailable                  the proxy itself
    |       |-- Overloaded               503
    |       |-- Draining                 503
    |       |-- LogFull                  503  traffic_log.when_full = "refuse"
    |       `-- InternalError            500  a defect of ours
    |-- FetchError                       one token call failed; seen by the token source alone
    |-- StoreError                       the store of tokens cannot be used; seen by the store alone
    |-- RefreshPaused                    an operator asks for a token, and the policy says not yet
    `-- ControlError                     a command cannot talk to the running proxy; names the fix

A class says what the client is told (``status``, ``slug``, ``title``, one fixed sentence); what was
found out about the case at hand is the instance's ``detail``, which never holds a secret.  ``proxy_status`` is
the error type of RFC 9209, section 2.3.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Base of everything raised on purpose."""


class ConfigError(ProxyError):
    """The configuration cannot be used.

    Attributes:
        where: File and key, for example ``proxy.toml: route[2].upstream``.
        problem: What is wrong with it.
        fix: What to write instead; empty for a list of problems, each of which has its own.
    """

    def __init__(self, where: str, problem: str, fix: str) -> None:
        """Keep the three parts; together they are the message."""
        super().__init__(f"{where}: {problem}\n  fix: {fix}" if fix else f"{where}: {problem}")
        self.where = where
        self.problem = problem
        self.fix = fix


class ExchangeError(ProxyError):
    """Ends one exchange with an answer of the proxy's own.

    Attributes:
        detail: One sentence for the client and the record: what was found, and the next step.
        retry_after_s: Seconds for Retry-After, or None for no such field.
    """

    status = 500
    slug = "internal"
    title = "The proxy failed"
    proxy_status = "proxy_internal_error"

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None) -> None:
        """Keep the detail; an empty one leaves the title to speak."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s


class ClientError(ExchangeError):
    """The request cannot be forwarded as it stands."""

    status = 400
    slug = "malformed"
    title = "The request is malformed"
    proxy_status = "http_request_error"


class Malformed(ClientError):
    """Syntax or framing that two parsers could read differently (RFC 9112, section 11.2).

    Attributes:
        step: The next one, where the case at hand has none of its own.
    """

    step = "have whoever made the client mend it, or look at what changes requests on their way here"


class ClientTimeout(ClientError):
    """The client stopped in the middle of its request, or of taking its answer.

    Attributes:
        step: The next one.
    """

    step = "see whether the client, or the network to it, hangs"

    status = 408
    slug = "client_timeout"
    title = "The request did not arrive in time"


class LengthRequired(ClientError):
    """A body that ends nowhere."""

    status = 411
    slug = "length_required"
    title = "The request needs a Content-Length"


class BodyTooLarge(ClientError):
    """More body than limits.body allows."""

    status = 413
    slug = "body_too_large"
    title = "The request body is too large"


class TargetTooLong(ClientError):
    """A request line longer than limits.line."""

    status = 414
    slug = "target_too_long"
    title = "The request target is too long"


class HeadTooLarge(ClientError):
    """More bytes or fields than limits.head and limits.fields allow."""

    status = 431
    slug = "head_too_large"
    title = "The request head is too large"


class VersionNotSupported(ClientError):
    """Not HTTP/1.0 or HTTP/1.1."""

    status = 505
    slug = "version"
    title = "The HTTP version is not supported"


class ClientLogin(ClientError):
    """A route that wants the login of a RapidSOS user, and no login came, or a wrong one."""

    status = 401
    slug = "client_login"
    title = "A RapidSOS user's login is needed"
    proxy_status = "http_request_denied"


class ClientNotAllowed(ClientError):
    """The client's address is in none of the networks that the listener allows."""

    status = 403
    slug = "client_not_allowed"
    title = "This client may not use the proxy"
    proxy_status = "http_request_denied"


class TargetNotAllowed(ClientError):
    """An absolute-form target whose host no route names, or a path that the route's ``paths`` leave out."""

    status = 403
    slug = "target_not_allowed"
    title = "The proxy does not forward to this target"
    proxy_status = "http_request_denied"


class CrossSite(ClientError):
    """A web page of another origin speaks through a browser."""

    status = 403
    slug = "cross_site"
    title = "Cross-site requests are refused"
    proxy_status = "http_request_denied"


class NoRoute(ClientError):
    """No route matches."""

    status = 404
    slug = "no_route"
    title = "No route matches this request"
    proxy_status = "destination_not_found"


class MethodNotAllowed(ClientError):
    """TRACE and CONNECT, and what the route's ``methods`` leave out.

    Attributes:
        allow: For the Allow field; empty for the methods that are forwarded where a route has no list.
    """

    status = 405
    slug = "method_not_allowed"
    title = "The proxy does not forward this method"
    proxy_status = "http_request_denied"

    def __init__(self, detail: str = "", *, allow: tuple[str, ...] = ()) -> None:
        """Keep both."""
        super().__init__(detail)
        self.allow = allow


class WrongHost(ClientError):
    """A Host that a rebound DNS name would carry."""

    status = 421
    slug = "wrong_host"
    title = "The proxy does not answer for this host name"
    proxy_status = "http_request_denied"


class ClientLimit(ClientError):
    """One client has more than its share of connections or exchanges, or asks more often than it may."""

    status = 429
    slug = "client_limit"
    title = "This client is at its limit"
    proxy_status = "connection_limit_reached"


class Loop(ClientError):
    """The request has been here before (RFC 9110, section 7.6.3)."""

    status = 508
    slug = "loop"
    title = "The request came back to the proxy"
    proxy_status = "proxy_loop_detected"


class TokenError(ExchangeError):
    """The authorization server's fault."""


class NoToken(TokenError):
    """No valid token, and none to be had in time."""

    status = 503
    slug = "no_token"
    title = "No access token could be obtained"
    proxy_status = "proxy_internal_response"


class UpstreamError(ExchangeError):
    """The upstream's fault.

    Attributes:
        step: The next one, where the case at hand has none of its own.
    """

    step = "`rapidsos-proxy doctor` tells which link is broken, and whose it is"

    status = 502
    slug = "upstream_closed"
    title = "The upstream failed"
    proxy_status = "connection_terminated"


class UpstreamRefused(UpstreamError):
    """No address of the upstream took the connection, or none of them may be dialled."""

    slug = "upstream_refused"
    title = "The upstream could not be reached"
    proxy_status = "connection_refused"


class UpstreamDNS(UpstreamError):
    """The upstream's name did not resolve."""

    slug = "upstream_dns"
    title = "The upstream's name could not be resolved"
    proxy_status = "dns_error"


class UpstreamTLS(UpstreamError):
    """The TLS handshake failed, the certificate's check included."""

    slug = "upstream_tls"
    title = "The upstream's TLS could not be verified"
    proxy_status = "tls_protocol_error"


class UpstreamProtocol(UpstreamError):
    """The answer is not HTTP, or could be read two ways."""

    slug = "upstream_protocol"
    title = "The upstream's answer is malformed"
    proxy_status = "http_protocol_error"


class UpstreamClosed(UpstreamError):
    """The upstream closed before its answer was whole."""

    slug = "upstream_closed"
    title = "The upstream closed the connection"
    proxy_status = "connection_terminated"


class UpstreamTimeout(UpstreamError):
    """The upstream did not connect, answer or go on in time."""

    status = 504
    slug = "upstream_timeout"
    title = "The upstream did not answer in time"
    proxy_status = "http_response_timeout"


class BreakerOpen(UpstreamError):
    """The upstream has failed several times in a row, and is left alone for a moment; nothing was sent."""

    status = 503
    slug = "breaker_open"
    title = "The upstream is out of reach"
    proxy_status = "destination_unavailable"


class Unavailable(ExchangeError):
    """The proxy itself cannot take the request now."""

    status = 503
    slug = "overloaded"
    title = "The proxy cannot take the request now"
    proxy_status = "proxy_internal_response"


class Overloaded(Unavailable):
    """A limit on connections or exchanges in flight is reached."""

    slug = "overloaded"
    title = "The proxy is at its limit"
    proxy_status = "connection_limit_reached"


class Draining(Unavailable):
    """The proxy, or one listener of it, is stopping.

    Attributes:
        stopping: What a request is told that came too late.
        removed: The same, where the proxy goes on without the listener.
        cut_off: What one is told whose answer is not whole at the end.
    """

    slug = "draining"
    title = "The proxy is stopping"
    stopping = "the proxy is stopping; send the request again in a moment"
    removed = "the configuration of this listener has just changed; connect again, to where it says now"
    cut_off = "the proxy has stopped before the answer was whole; send the request again, and see timeouts.drain"


class LogFull(Unavailable):
    """The traffic log cannot keep up, and the configuration says to refuse then."""

    slug = "log_full"
    title = "The traffic log is full"


class InternalError(ExchangeError):
    """A defect of ours; the operational log holds the traceback."""

    def __init__(self) -> None:
        """Say where that is."""
        super().__init__("the proxy has a defect; report it, with the traceback on the proxy's standard error")


class FetchError(ProxyError):
    """One token call failed.

    Attributes:
        kind: ``network``, ``timeout``, ``status``, ``unreadable`` or ``refused``.
        status: The answer's status, or None when there was none.
        refused: True when the server rejected the credential itself; asking again soon cannot help.
        code: The server's error code (RFC 6749, section 5.2), or None when it gave none that is known.
        retry_after_s: What Retry-After asked for, in seconds, or None.
        is_vague: True when it is refused by the status alone (401, 403): any gateway on the way may have said so.
    """

    def __init__(  # noqa: PLR0913 (the facts of one answer)
        self,
        kind: str,
        detail: str,
        *,
        status: int | None = None,
        refused: bool = False,
        code: str | None = None,
        retry_after_s: float | None = None,
        is_vague: bool = False,
    ) -> None:
        """Keep what the token source decides by; the detail never quotes the answer's body."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = status
        self.refused = refused
        self.code = code
        self.retry_after_s = retry_after_s
        self.is_vague = is_vague


class StoreError(ProxyError):
    """The store of tokens cannot be read, written or reached.

    Attributes:
        problem: What is wrong with it, to stand after its name.
        fix: What an operator can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        """Keep both parts."""
        super().__init__(problem)
        self.problem = problem
        self.fix = fix


class RefreshPaused(ProxyError):
    """A token call that an operator asks for is not made: the last outcome forbids it for a while.

    Attributes:
        detail: Why, and for how long, in plain words.
        pause_s: Seconds until it may be asked for again; infinite when only a person can say so.
    """

    def __init__(self, detail: str, pause_s: float) -> None:
        """Keep both."""
        super().__init__(detail)
        self.detail = detail
        self.pause_s = pause_s


class ControlError(ProxyError):
    """A command cannot talk to the running proxy.

    Attributes:
        where: The socket.
        problem: What is wrong with it.
        fix: What to do.
    """

    def __init__(self, where: str, problem: str, fix: str) -> None:
        """Keep the three parts; together they are the message."""
        super().__init__(f"{where}: {problem}\n  fix: {fix}")
        self.where = where
        self.problem = problem
        self.fix = fix
