"""A configuration in words, for people who want to see what it will do before it does it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from proxy.ca.authority import read_authority_validity
from proxy.certificates import read_validity
from proxy.config.store import parse_redis_url
from proxy.config.units import build_age, build_size
from proxy.http.authority import build_authority
from proxy.routing.origin import parse_url_origin
from proxy.routing.table import find_routed_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.certificates import Validity
    from proxy.config.models import Admin, Config, Credential, Listener, ListenerTLS, Match, Route, Store, TrafficLog
    from proxy.routing.origin import Origin

_TOKEN = {
    "full": "as it was sent: whoever reads it can use it until it expires",
    "fingerprint": "by its fingerprint: nobody can use it",
}
_WHEN_FULL = {"drop": "records are dropped, and counted", "refuse": "requests are refused (503)"}
_SHOWN = {"last4": "but for its last four digits", "hash": "by a keyed hash"}
_UNSEALED = "none: whoever can write to the file can change it unseen"
_NO_LIMIT = "as much room as they take: traffic_log.retain_size would set a limit"
_SECRETS = ("client_id", "client_secret", "username", "password")


def describe(config: Config, now: float) -> str:
    """Describe listeners, routes in order, credentials with the origin of each secret, the log, and what is dialled.

    No secret is in it, and no secret is read for it; certificates are.

    Args:
        config: Checked.
        now: Seconds since the epoch, for how long certificates are still good.
    """
    sections: list[tuple[str, list[Sequence[str]]]] = [
        (
            "Listeners",
            [*(_describe_listener(listener, now) for listener in config.listener), *_describe_admin(config.admin)],
        ),
        ("Routes: the first that matches takes the request", [_describe_route(route) for route in config.route]),
        ("Interception", [*_describe_interception(config, now)]),
        ("Credentials", [row for item in config.credential.items() for row in _describe_credential(*item)]),
        ("Tokens are kept", [*_describe_store(config.store)]),
        ("Traffic log", [*_describe_log(config.traffic_log)]),
        ("Dialled", [(place,) for place in sorted(set(_dialled(config)))]),
    ]
    return "\n\n".join("\n".join([title, *build_table(rows)]) for title, rows in sections)


def build_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Build lines in which every column is as wide as its widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))).rstrip()


def _describe_listener(listener: Listener, now: float) -> Sequence[str]:
    clients = ", ".join(map(str, listener.allow)) or "this machine only"
    names = f"as {', '.join(listener.names)}" if listener.names else ""
    if listener.tls is None:
        return listener.name, f"http://{listener.bind}", clients, names
    return listener.name, f"https://{listener.bind}", clients, names, _describe_tls(listener.tls, now)


def _describe_tls(tls: ListenerTLS, now: float) -> str:
    """Say how long the certificate is good, and who must have one too."""
    words = f"certificate {_describe_validity(read_validity(tls), now)}"
    return words if tls.client_ca is None else f"{words}; clients must have one by {tls.client_ca}"


def _describe_validity(validity: Validity, now: float) -> str:
    trouble = validity.find_trouble(now)
    return f"until {validity.until}" + (f": WARNING, it {trouble}" if trouble else "")


def _describe_interception(config: Config, now: float) -> Iterator[Sequence[str]]:
    """Say whose https is opened, and who can be anybody to these clients."""
    settings = config.interception
    if settings is None:
        yield ("none: a client that asks for a tunnel (CONNECT) is refused",)
        return
    for listener in config.listener:
        if listener.intercept:
            yield listener.name, f"https:// to {', '.join(sorted(find_routed_hosts(config.route, listener.name)))}"
    validity = _describe_validity(read_authority_validity(settings), now)
    yield "authority", f"{settings.ca_certificate}, {validity}"
    yield "key", f"{settings.ca_key}: whoever has it can be these hosts to the clients"


def _describe_admin(admin: Admin) -> Iterator[Sequence[str]]:
    yield "admin", f"http://{admin.bind}", "this machine only, with a login"
    if admin.health_bind is not None:
        yield "health", f"http://{admin.health_bind}", "whoever reaches it: live, ready and metrics, without a login"


def _describe_route(route: Route) -> Sequence[str]:
    strip = f"without {route.strip}" if route.strip else ""
    return (
        route.name,
        " ".join(_describe_match(route.match)),
        "->",
        str(route.upstream),
        strip,
        f"as {route.credential}",
        "; ".join(_describe_limits(route)),
    )


def _describe_limits(route: Route) -> Iterator[str]:
    if route.methods:
        yield f"only {'/'.join(route.methods)}"
    if route.paths:
        yield f"only {', '.join(route.paths)}"
    if route.deadline is not None:
        yield f"within {build_age(route.deadline)}"


def _describe_match(match: Match) -> Iterator[str]:
    yield f"{match.host or ''}{match.path}"
    if match.listener:
        yield f"on {match.listener}"
    if match.methods:
        yield f"by {'/'.join(match.methods)}"
    if match.clients:
        yield f"from {', '.join(map(str, match.clients))}"
    yield from (f"with {name}: {value}" for name, value in match.headers.items())


def _describe_credential(name: str, credential: Credential) -> Iterator[Sequence[str]]:
    yield name, credential.grant, credential.token_url or "sent with each request"
    for key in _SECRETS:
        if (secret := getattr(credential, key)) is not None:
            yield "", key, secret.origin
    if credential.from_client == "basic":
        yield "", "username, password", "sent with each request by the client"
    for user, person in credential.users.items():
        yield "", f"user {user}", f"{person.username.origin}, {person.password.origin}"


def _describe_store(store: Store) -> Iterator[Sequence[str]]:
    place = store.file or store.redis
    if place is None:
        yield ("in memory",)
        return
    yield f"in {place}", "encrypted"
    for key in ("key", "username", "password"):
        if (secret := getattr(store, key)) is not None:
            yield "", f"{key}: {secret.origin}"


def _describe_log(log: TrafficLog) -> Iterator[Sequence[str]]:
    is_file = log.path != "-"
    yield "to", log.path if is_file else "standard output"
    yield "token", _TOKEN[log.token]
    yield "bodies", f"the first {build_size(log.bodies)} of each" if log.bodies else "none"
    yield "masked", ", ".join(("long-lived secrets, and fields that are named like one", *log.mask))
    for name, way in log.mask_as.items():
        yield "", f"{name}, {_SHOWN[way]}"
    yield "when it cannot be written", _WHEN_FULL[log.when_full]
    if is_file:
        yield "a new file", f"at {build_size(log.rotate.size)}, and after {build_age(log.rotate.age)}"
        yield "an old file is removed", f"after {build_age(log.retain)}"
        yield "all files have", _NO_LIMIT if log.retain_size is None else _describe_room(log.retain_size)
        yield "seal", _UNSEALED if log.seal is None else f"each line, with the key of {log.seal.key.origin}"


def _describe_room(size: int) -> str:
    return f"{build_size(size)} at most: the oldest are removed sooner if need be"


def _dialled(config: Config) -> Iterator[str]:
    """Yield every place that the proxy will connect to, and how."""
    for route in config.route:
        yield _describe_dial(config, route.upstream, route.addresses)
    for credential in config.credential.values():
        if credential.token_url is not None:
            yield _describe_dial(config, parse_url_origin(credential.token_url))
    if config.store.redis is not None:
        redis = parse_redis_url(config.store.redis)
        yield build_authority(redis.host, redis.port)


def _describe_dial(config: Config, origin: Origin, addresses: Sequence[str] = ()) -> str:
    place = build_authority(origin.host, origin.port)
    if config.outbound.proxy is not None and not origin.is_loopback:
        return f"{place} through {config.outbound.proxy}"
    return f"{place} at {', '.join(addresses)}" if addresses else place
