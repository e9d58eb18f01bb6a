"""The configuration as frozen models: what each section may hold, with its defaults and limits.

The rule of this file: the shape of single keys only.  It reads no file and no environment; load.py does, and turns
what these models object to into a ConfigError with file, key and fix; check.py compares keys with each other.
Every key stands in config/proxy.toml, with its unit and its reason.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt

from proxy.config import units
from proxy.config.secret import Secret  # noqa: TC001 (pydantic needs it at run time)
from proxy.config.units import Network as Network  # noqa: PLC0414 (others take it from here)
from proxy.config.units import SocketAddress
from proxy.routing.origin import Origin

Size = Annotated[int, BeforeValidator(units.parse_size), Field(ge=0)]
"""Bytes; written as a number or as ``"64 KiB"``."""
Age = Annotated[float, BeforeValidator(units.parse_age), Field(gt=0, allow_inf_nan=False)]
"""Seconds; written ``"400d"``, ``"12h"``, ``"30m"``."""
Deadline = Annotated[float, BeforeValidator(units.parse_age), Field(ge=1, le=3600)]
"""Seconds; written ``"20s"``."""
Seconds = Annotated[float, Field(gt=0, le=3600, strict=True, allow_inf_nan=False)]
Name = Annotated[str, BeforeValidator(units.parse_name)]
Bind = Annotated[SocketAddress, BeforeValidator(units.parse_socket_address)]
"""Written ``127.0.0.1:8080`` or ``[::1]:8080``."""
Upstream = Annotated[Origin, BeforeValidator(units.parse_upstream)]
Proxy = Annotated[Origin, BeforeValidator(units.parse_proxy)]
Networks = tuple[Annotated[Network, BeforeValidator(units.parse_network)], ...]
HostName = Annotated[str, BeforeValidator(units.parse_host_name)]
HostNames = tuple[HostName, ...]
Words = Annotated[str, BeforeValidator(units.parse_words)]
Methods = tuple[Annotated[str, BeforeValidator(units.parse_method)], ...]
Fields = dict[Annotated[str, BeforeValidator(units.parse_field_name)], str]
Addresses = tuple[Annotated[str, BeforeValidator(units.parse_pinned_address)], ...]
DeadTokenStatus = Annotated[StrictInt, Field(ge=400, le=599), AfterValidator(units.check_dead_token_status)]
Count = Annotated[StrictInt, Field(ge=1)]


class Model(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ListenerTLS(Model):
    """How clients speak https to a listener."""

    certificate: str
    """PEM file: the listener's certificate first, behind it those that signed it."""
    key: str
    """PEM file of the private key; may be the same file."""
    key_password: Secret | None = None
    """The passphrase of the key."""
    client_ca: str | None = None
    """PEM file of authorities: clients must have a certificate by one of them; None asks for none."""


class Listener(Model):
    """One address that clients connect to."""

    name: Name
    """For routes, records and metrics."""
    bind: Bind
    """Address and port; beyond loopback it needs ``allow``."""
    allow: Networks = ()
    """Client networks; loopback only when empty."""
    names: HostNames = ()
    """Host names that clients may use for this listener, beyond addresses, local names and routed hosts."""
    tls: ListenerTLS | None = None
    """Makes it speak https; None is plain http."""
    allow_plain_http: StrictBool = False
    """Whether persons' passwords may come here in clear (``from_client = "basic"``)."""
    allow_origins: tuple[Annotated[str, BeforeValidator(units.parse_web_origin)], ...] = ()
    """Web origins (``https://cad.example``) whose pages may send requests here."""
    intercept: StrictBool = False
    """Whether tunnels (``CONNECT``) to routed hosts are opened, and ended here, with a certificate of our own."""
    stub_token: StrictBool = False
    """Whether ``POST …/oauth/token`` is answered here, with a token that opens nothing."""


class Interception(Model):
    """The local authority that clients of listeners with ``intercept`` trust; ``rapidsos-proxy ca init`` makes one."""

    ca_certificate: str
    """PEM file: its certificate first; behind it those that signed it, where it is not its own root."""
    ca_key: str
    """PEM file of its private key; whoever has it can be RapidSOS to those clients."""


class User(Model):
    """A person whom clients may name."""

    username: Secret
    password: Secret


class Credential(Model):
    """How to prove to one authorization server, or one upstream, who we are."""

    grant: Literal["client_credentials", "password", "basic"]
    """``basic`` has no token: username and password go to the upstream themselves."""
    token_url: str | None = None
    """The token endpoint; each family of RapidSOS credentials has its own."""
    client_id: Secret | None = None
    client_secret: Secret | None = None
    username: Secret | None = None
    """With ``password`` and ``basic``."""
    password: Secret | None = None
    """With ``password`` and ``basic``."""
    from_client: Annotated[str, AfterValidator(units.check_from_client)] | None = None
    """Who says whose token it is, with ``password``: the client, by ``basic`` or by ``header:NAME``."""
    users: dict[str, User] = Field(default_factory=dict)
    """Those whom ``header:NAME`` may name, by what stands in it."""
    clients: Networks = ()
    """Networks whose clients may name them."""
    request: Literal["form", "json"] = "form"
    """How the token request's body is written."""
    client_auth: Literal["body", "basic"] = "body"
    """Where client_id and client_secret go: that body, or an Authorization field (RFC 6749, section 2.3.1)."""
    scope: str | None = None
    """Space-separated; None leaves the choice to the server."""
    extra: dict[str, str] = Field(default_factory=dict)
    """More parameters of the token request."""
    allow_plain_http: StrictBool = False
    """Whether ``token_url`` may be plain http to another machine."""


class Match(Model):
    """What a request must be like for a route to take it; every key given must hold."""

    path: str = "/"
    """A prefix of whole segments: ``/ingress/`` takes ``/ingress`` and ``/ingress/v1``, not ``/ingressx``."""
    listener: Name | None = None
    host: HostName | None = None
    """The host of an absolute-form target, else of the Host field; without a port."""
    methods: Methods = ()
    clients: Networks = ()
    headers: Fields = Field(default_factory=dict)
    """Exact values by name, for example ``{ "X-Agency" = "north" }``."""


class DeadToken(Model):
    """An answer that makes the token sent suspect by its status and what it says, in any case."""

    status: Annotated[StrictInt, Field(ge=400, le=599)]
    www_authenticate: Words | None = None
    """Words that one such field must hold: ``invalid_token``."""
    body: Words | None = None
    """Words that its body must hold among its first 4096 bytes."""


class Route(Model):
    """Where matching requests go, and as whom."""

    name: Name
    match: Match = Match()
    """The default takes every request."""
    strip: str = ""
    """A prefix taken off the path before it goes to the upstream."""
    upstream: Upstream
    """Scheme, host and port; the path is the client's."""
    credential: Name
    addresses: Addresses = ()
    """``ip`` or ``ip:port``, dialled instead of what the upstream's name resolves to."""
    allow_private: StrictBool = False
    """Whether the upstream's name may resolve to a loopback, link-local or private address."""
    allow_plain_http: StrictBool = False
    """Whether ``upstream`` may be plain http to another machine."""
    place: Annotated[str, AfterValidator(units.check_place)] = "header"
    """Where the token goes: ``header``, or a parameter of the query, ``query:token``."""
    dead_token_status: tuple[DeadTokenStatus, ...] = (401,)
    """Answers that make the token sent suspect."""
    dead_token: tuple[DeadToken, ...] = ()
    """More of them, which must say so in WWW-Authenticate; here 403 may stand."""
    replay: StrictBool = True
    """Whether a request goes once more with the new token after such an answer."""
    methods: Methods = ()
    """Those that it forwards, any when empty; the rest gets 405.  ``match.methods`` would leave it to other routes."""
    paths: tuple[str, ...] = ()
    """Prefixes of whole segments, as the upstream gets them, that it forwards; all when empty."""
    deadline: Deadline | None = None
    """Seconds from a request's first byte to the end of its answer, kept to within one; None sets no limit."""


class Outbound(Model):
    """How the proxy itself reaches the outside."""

    proxy: Proxy | None = None
    """The centre's own HTTP proxy, ``http://host:port``; None connects directly."""
    username: Secret | None = None
    password: Secret | None = None
    ca_file: str | None = None
    """More certificate authorities to trust, as PEM, beside the system's."""


class Rotate(Model):
    """When a log file is put aside and a new one begun."""

    size: Size = 256 * 1024 * 1024
    """Bytes."""
    age: Age = 86_400.0
    """Seconds."""


class Seal(Model):
    """How each line of the traffic log is proved to be what was written."""

    key: Secret
    """32 bytes in base64 or hex, for whoever writes the log and whoever verifies it."""


class TrafficLog(Model):
    """The traffic log."""

    path: str = "-"
    """A file, or ``-`` for standard output."""
    bodies: Size = 65_536
    """Bytes kept of each body; 0 for none."""
    token: Literal["full", "fingerprint"] = "full"  # noqa: S105 (a choice, not a password)
    """How a token stands in the record: as it was sent, or as the beginning of its SHA-256."""
    mask: tuple[Annotated[str, BeforeValidator(units.parse_masked_name)], ...] = ()
    """Names of fields whose values are masked, beyond those that are built in: in queries, forms, JSON, XML, heads."""
    mask_as: dict[Annotated[str, BeforeValidator(units.parse_masked_name)], Literal["last4", "hash"]] = Field(
        default_factory=dict
    )
    """More of them, of whose values something is left: the last four digits, or a keyed hash."""
    when_full: Literal["drop", "refuse"] = "drop"
    """What gives way when the disk cannot keep up: records, which are counted, or requests, which get 503."""
    rotate: Rotate = Rotate()
    retain: Age = 400 * 86_400.0
    """Seconds after which a rotated file is removed."""
    retain_size: Size | None = None
    """Bytes that all files together have at most, for which the oldest are removed sooner; None sets no limit."""
    seal: Seal | None = None
    """None: lines carry no seal, and whoever can write to the file can change them unseen."""


class Admin(Model):
    """The admin listener."""

    bind: Bind = units.parse_socket_address("127.0.0.1:9090")
    username: str = "admin"
    password: Secret | None = None
    """None: one is made at start and printed to standard error."""
    names: HostNames = ()
    """Host names under which it may be asked, beyond addresses, localhost and the machine's own name."""
    health_bind: Bind | None = None
    """One more address for the open paths alone, for probes on other machines; None has none."""
    control: Annotated[str, Field(min_length=1)] | None = None
    """Path of the unix socket that commands ask at; None: in a directory of the user's own (proxy.control.place)."""


class Store(Model):
    """Where tokens are kept beyond the memory of the process; without ``file`` and ``redis``, nowhere."""

    file: str | None = None
    """For one proxy: its tokens outlive a restart."""
    redis: str | None = None
    """For several: ``rediss://host:port``, where they share their tokens."""
    key: Secret | None = None
    """32 bytes in base64 or hex, which everything stored is encrypted with."""
    username: Secret | None = None
    """Of Redis's ACL; None is its user ``default``."""
    password: Secret | None = None
    ca_file: str | None = None
    """More certificate authorities to trust for Redis, as PEM, beside the system's and those of ``outbound``."""
    prefix: Name = "rapidsos-proxy"
    """What the names of all keys in Redis begin with."""
    allow_plain: StrictBool = False
    """Whether Redis may be on another machine and without TLS."""


class Limits(Model):
    """What one client, and all of them, may ask of the proxy."""

    head: Size = 64 * 1024
    """Bytes of a request's head, and of an answer's."""
    line: Size = 16 * 1024
    """Bytes of a request line."""
    fields: Annotated[StrictInt, Field(ge=8, le=1000)] = 100
    """Header fields of one message."""
    body: Size = 100 * 1024 * 1024
    """Bytes of a request's body; answers are not limited."""
    replay: Size = 1024 * 1024
    """Bytes of a request's body kept until the upstream has answered, in case it must be sent again."""
    connections: Count = 10_000
    """Client connections."""
    client_connections: Count = 5_000
    """The same, of one client address."""
    in_flight: Count = 1_000
    """Exchanges under way at once."""
    client_in_flight: Count = 500
    """The same, of one client address."""
    client_rate: Annotated[float, Field(gt=0, le=1e6, strict=True, allow_inf_nan=False)] | None = None
    """Requests a second of one client address; None sets no limit."""
    client_burst: Count = 100
    """Requests that a client may send at once, when it has not for a while."""
    log_queue: Size = 64 * 1024 * 1024
    """Bytes of traffic records that wait to be written."""


class Timeouts(Model):
    """Seconds; none of them bounds a whole exchange, as ``deadline`` of a route does."""

    head: Seconds = 20.0
    """From a request's first byte to the end of its head; also a client's TLS handshake."""
    idle: Seconds = 75.0
    """A client connection without a request."""
    body: Seconds = 30.0
    """Silence while a request's body is awaited."""
    connect: Seconds = 5.0
    """To an upstream: DNS and TCP."""
    tls: Seconds = 5.0
    """The TLS handshake with it."""
    first_byte: Seconds = 25.0
    """From the end of the request to the answer's head."""
    silence: Seconds = 60.0
    """Silence within an answer."""
    token: Seconds = 10.0
    """One token call."""
    token_wait: Seconds = 5.0
    """How long a request waits when there is no valid token."""
    pool_idle: Seconds = 30.0
    """An upstream connection without a request."""
    drain: Seconds = 25.0
    """From the signal to stop until what is still under way is cut."""


class Breaker(Model):
    """When requests to an upstream that fails are refused at once, instead of waiting for it."""

    enabled: StrictBool = True
    connections: Count = 5
    """Connections in a row that could not be had."""
    unanswered: Annotated[StrictInt, Field(ge=0)] = 0
    """Requests of one client in a row that got no answer: then that client's are refused.  0: never."""
    statuses: tuple[Annotated[StrictInt, Field(ge=500, le=599)], ...] = ()
    """Answers that count as none."""
    pause: Annotated[float, Field(ge=1, le=10, strict=True, allow_inf_nan=False)] = 5.0
    """Seconds, at most, between two requests that are let through to see."""


class Config(Model):
    """A whole configuration, checked."""

    listener: tuple[Listener, ...]
    credential: dict[Name, Credential]
    route: tuple[Route, ...]
    """The first that matches takes the request."""
    outbound: Outbound = Outbound()
    traffic_log: TrafficLog = TrafficLog()
    admin: Admin = Admin()
    store: Store = Store()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    breaker: Breaker = Breaker()
    interception: Interception | None = None
    """None where no listener has ``intercept``."""
