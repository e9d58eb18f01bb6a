"""What the keys of a configuration must be to each other, beyond the shape of each.

The rule of this file: it opens nothing but the files of certificates, and dials nothing.  Names and ports are
outline.py's to compare, and what routes must be to each other is proxy.routing.check's.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from typing import TYPE_CHECKING

from proxy.ca.authority import read_authority
from proxy.certificates import CertificateError, read_server_tls
from proxy.config.environments import tell_environment
from proxy.config.keys import check_key
from proxy.config.store import check_store
from proxy.config.units import build_size
from proxy.http.fields import is_secret_field
from proxy.program import PROGRAM
from proxy.routing.origin import parse_url_origin
from proxy.routing.table import find_routed_hosts
from proxy.traffic.names import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config.models import Config, Credential, Interception, Listener, Outbound, TrafficLog
    from proxy.config.problems import Problems
    from proxy.routing.origin import Origin

_NEEDS = {
    "client_credentials": frozenset({"token_url", "client_id", "client_secret"}),
    "password": frozenset({"token_url", "client_id", "client_secret", "username", "password"}),
    "basic": frozenset({"username", "password"}),
}
_PERSON = frozenset({"username", "password"})
_TOKEN_CALL_ONLY = frozenset({"request", "client_auth", "scope", "extra", "allow_plain_http"})
_OWN_PARAMETERS = frozenset({"grant_type", "client_id", "client_secret", "username", "password", "scope"})


def check_config(config: Config, problems: Problems) -> None:
    """Note everything that does not fit together."""
    _check_listeners(config, problems)
    _check_interception(config, problems)
    for name, credential in config.credential.items():
        _check_grant(f"credential.{name}", credential, problems)
        _check_persons(f"credential.{name}", credential, problems)
    _check_logins(config, problems)
    _check_urls(config, problems)
    _check_environments(config, problems)
    _check_dead_tokens(config, problems)
    _check_outbound(config.outbound, problems)
    _check_ca_file("outbound.ca_file", config.outbound.ca_file, problems)
    check_store(config.store, problems)
    _check_ca_file("store.ca_file", config.store.ca_file, problems)
    _check_masks(config.traffic_log, problems)
    _check_seal(config.traffic_log, problems)
    _check_sizes(config, problems)
    if config.breaker.statuses and not config.breaker.unanswered:
        fix = "add unanswered = 5, or remove it"
        problems.add("breaker.statuses", "has no meaning while breaker.unanswered is 0", fix)


def _check_listeners(config: Config, problems: Problems) -> None:
    for listener in config.listener:
        _check_allow(listener, problems)
        _check_tls(listener, problems)
    admin = config.admin.bind
    if not admin.is_loopback:
        problem = f"{admin} can be reached from other machines, and the login would cross the network in plain text"
        problems.add("admin.bind", problem, f"write 127.0.0.1:{admin.port}, and reach it through an SSH tunnel")


def _check_allow(listener: Listener, problems: Problems) -> None:
    if not listener.allow and not listener.bind.is_loopback:
        problem = f"is missing: whoever reaches {listener.bind} would speak to RapidSOS as you"
        fix = 'add the networks of your clients, such as allow = ["10.20.0.0/16"], or bind to 127.0.0.1'
        problems.add(f"listener[{listener.name}].allow", problem, fix)


def _check_tls(listener: Listener, problems: Problems) -> None:
    """Refuse files that no handshake could be made with."""
    tls = listener.tls
    if tls is None or (tls.key_password is not None and not tls.key_password.reveal()):  # told of, where it was read
        return
    try:
        read_server_tls(tls)
    except CertificateError as error:
        problems.add(f"listener[{listener.name}].tls.{error.key}", error.problem, error.fix)


def _check_interception(config: Config, problems: Problems) -> None:
    """Refuse listeners that could intercept nothing, and an authority that clients would not believe."""
    names = [listener.name for listener in config.listener if listener.intercept]
    for name in names:
        if config.interception is None:
            fix = f"add the section [interception] that `{PROGRAM} ca init` prints"
            problems.add(f"listener[{name}].intercept", "needs a local authority", fix)
        if not find_routed_hosts(config.route, name):
            problem = "has no meaning here: no route for this listener names a host, so no tunnel would be opened"
            fix = 'add a route with match = { host = "…" }, the host in the client\'s https:// URLs'
            problems.add(f"listener[{name}].intercept", problem, fix)
    for listener in config.listener:
        if listener.intercept and listener.tls is not None:
            problem = "does not go with tls: clients speak plain http to an HTTPS proxy, and ask it for a tunnel"
            problems.add(f"listener[{listener.name}].intercept", problem, "use two listeners, on two ports")
    if config.interception is not None:
        _check_authority(config, config.interception, names, problems)


def _check_authority(config: Config, settings: Interception, names: Sequence[str], problems: Problems) -> None:
    if config.listener and not names:
        fix = "set intercept = true on a listener, or remove the section"
        problems.add("interception", "has no meaning while no listener has intercept = true", fix)
    hosts = frozenset[str]().union(*(find_routed_hosts(config.route, name) for name in names))
    try:
        read_authority(settings).build_contexts(hosts, time.time())
    except CertificateError as error:
        problems.add(f"interception.{error.key}", error.problem, error.fix)


def _check_grant(key: str, credential: Credential, problems: Problems) -> None:
    """Compare the keys that are set with those that the grant takes."""
    needed = _NEEDS[credential.grant] - (_PERSON if credential.from_client is not None else frozenset())
    of_any_grant = frozenset().union(*_NEEDS.values())
    set_here = {name for name in of_any_grant if getattr(credential, name) is not None}
    for name in sorted(needed - set_here):
        problems.add(f"{key}.{name}", f'is missing, and grant "{credential.grant}" needs it', f"add {name} = …")
    superfluous = set_here - needed
    if credential.grant == "basic":
        superfluous |= _TOKEN_CALL_ONLY & credential.model_fields_set
    for name in sorted(superfluous):
        if credential.from_client is not None and name in _PERSON:
            problem, fix = f'has no meaning with from_client = "{credential.from_client}"', "remove one of them"
        else:
            problem, fix = f'has no meaning with grant "{credential.grant}"', "remove it, or choose another grant"
        problems.add(f"{key}.{name}", problem, fix)
    for name in sorted(_OWN_PARAMETERS & credential.extra.keys()):
        problems.add(
            f"{key}.extra.{name}",
            "is a parameter that the proxy sends by itself",
            f"use the key {name} of the credential, or nothing",
        )


def _check_persons(key: str, credential: Credential, problems: Problems) -> None:
    """Compare the keys about persons with one another."""
    way = credential.from_client
    if way is not None and credential.grant != "password":
        problems.add(f"{key}.from_client", "needs a grant of persons", 'write grant = "password", or remove it')
    by_name = way is not None and way != "basic"
    for name, example in (("users", "[{key}.users.alice] with username and password"), ("clients", '["10.20.3.0/24"]')):
        if by_name and not getattr(credential, name):
            problem = f'is missing, and from_client = "{way}" needs it'
            problems.add(f"{key}.{name}", problem, f"add {example.format(key=key)}")
        elif not by_name and getattr(credential, name):
            problem = "has no meaning unless a field names a person"
            problems.add(f"{key}.{name}", problem, 'remove it, or write from_client = "header:X-User"')


def _check_logins(config: Config, problems: Problems) -> None:
    """Refuse listeners on which persons' passwords would cross a network in clear."""
    by_login = {name for name, credential in config.credential.items() if credential.from_client == "basic"}
    routes = [route for route in config.route if route.credential in by_login]
    for listener in config.listener:
        if listener.allow_plain_http or listener.bind.is_loopback or listener.tls is not None:
            continue
        names = [route.name for route in routes if route.match.listener in {None, listener.name}]
        if names:
            problem = f"is false, and passwords for route {names[0]} would cross the network to it in clear"
            fix = "give the listener tls, or set it to true if the network between may see them, or bind to 127.0.0.1"
            problems.add(f"listener[{listener.name}].allow_plain_http", problem, fix)


def _check_urls(config: Config, problems: Problems) -> None:
    """Refuse what is no token endpoint, and plain http beyond this machine."""
    for name, credential in config.credential.items():
        key = f"credential.{name}.token_url"
        try:
            origin = _find_origin(credential)
        except ValueError as error:
            fix = "write scheme, host and path, such as https://api-sandbox.rapidsos.com/oauth/token"
            problems.add(key, f"is not the URL of a token endpoint: {error}", fix)
        else:
            _check_scheme(key, origin, "the client secret", problems, is_allowed=credential.allow_plain_http)
    for route in config.route:
        key = f"route[{route.name}].upstream"
        _check_scheme(key, route.upstream, "the token", problems, is_allowed=route.allow_plain_http)


def _find_origin(credential: Credential) -> Origin | None:
    return None if credential.token_url is None else parse_url_origin(credential.token_url)


def _check_scheme(key: str, origin: Origin | None, secret: str, problems: Problems, *, is_allowed: bool) -> None:
    if origin is not None and origin.scheme == "http" and not is_allowed and not origin.is_loopback:
        fix = "write https://, or set allow_plain_http = true in the same table"
        problems.add(key, f"is plain http: {origin.host} would get {secret} in the clear", fix)


def _check_environments(config: Config, problems: Problems) -> None:
    """Refuse a credential that serves two RapidSOS environments: its keys are void in one of them."""
    seen: dict[str, str] = {}
    for name, credential in config.credential.items():
        with contextlib.suppress(ValueError):  # told of above
            if (environment := tell_environment(_find_origin(credential))) is not None:
                seen[name] = environment
    for route in config.route:
        environment = tell_environment(route.upstream)
        if environment is not None and seen.setdefault(route.credential, environment) != environment:
            problem = f"is a {environment} host, and credential {route.credential} is for {seen[route.credential]}"
            problems.add(f"route[{route.name}].upstream", problem, "use a credential and a host of one environment")


def _check_dead_tokens(config: Config, problems: Problems) -> None:
    for route in config.route:
        for place, rule in enumerate(route.dead_token, 1):
            if rule.www_authenticate is None and rule.body is None:
                key = f"route[{route.name}].dead_token[{place}]"
                fix = "add www_authenticate or body, or move the status to dead_token_status"
                problems.add(key, "has a status alone", fix)


def _check_outbound(outbound: Outbound, problems: Problems) -> None:
    login = {"username": outbound.username, "password": outbound.password}
    for name, value in login.items():
        if value is None and any(login.values()):
            problems.add(f"outbound.{name}", "is missing: a login has both parts", f"add {name} = …")
        elif value is not None and outbound.proxy is None:
            problems.add(f"outbound.{name}", "has no meaning without outbound.proxy", "remove it, or name the proxy")


def _check_ca_file(key: str, path: str | None, problems: Problems) -> None:
    if path is not None and (problem := _object_to_ca_file(path)) is not None:
        problems.add(key, problem, "name a file of PEM certificates that the proxy's user may read")


def _object_to_ca_file(path: str) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return f"{path} holds no certificate in PEM form"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return None


def _check_masks(settings: TrafficLog, problems: Problems) -> None:
    """Refuse to show a part of what is a secret, or is masked whole."""
    masked = {name.lower() for name in settings.mask}
    seen: set[str] = set()
    for name in settings.mask_as:
        lower, key = name.lower(), f"traffic_log.mask_as.{name}"
        if is_secret_name(lower) or is_secret_field(lower):
            problems.add(key, "is a secret by its name, of which nothing is shown", "remove it: it is masked by itself")
        elif lower in masked or lower in seen:
            problems.add(key, "is masked twice", "name it once, in mask or in mask_as")
        seen.add(lower)


def _check_seal(settings: TrafficLog, problems: Problems) -> None:
    if settings.seal is None:
        return
    check_key("traffic_log.seal.key", settings.seal.key, problems)
    if settings.path == "-":
        problem = "needs a file: a chain of seals goes on from its last line, and standard output cannot be read back"
        problems.add("traffic_log.seal", problem, "set traffic_log.path to a file, or remove the seal")


def _check_sizes(config: Config, problems: Problems) -> None:
    limits = config.limits
    if limits.line > limits.head:
        problems.add("limits.line", "is more than limits.head, which it is a part of", f"write at most {limits.head}")
    most, each = config.traffic_log.retain_size, config.traffic_log.rotate.size
    if most is not None and most < 2 * each:
        fix = f"write at least {build_size(2 * each)}, or make rotate.size smaller"
        problems.add("traffic_log.retain_size", "has no room for two files of traffic_log.rotate.size", fix)
    if limits.replay > limits.body:
        problems.add("limits.replay", "is more than limits.body", f"write at most {limits.body}")
