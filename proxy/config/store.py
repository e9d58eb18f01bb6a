"""What ``[store]`` must be: one place, a key that is one, and a Redis that is reached safely.

The rule of this file: it opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.keys import MAKE_KEY, check_key
from proxy.http.authority import is_loopback, parse_authority

if TYPE_CHECKING:
    from proxy.config.models import Store
    from proxy.config.problems import Problems

REDIS_PORT = 6379
_REDIS_ONLY = ("username", "password", "ca_file", "prefix", "allow_plain")
_URL_FIX = "write rediss://host:port, with a database behind it if it is not 0: rediss://host:6379/1"


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a Redis is.

    Attributes:
        is_tls: Whether it is spoken to over TLS.
        host: Lower case, without brackets.
    """

    is_tls: bool
    host: str
    port: int
    database: int


def parse_redis_url(text: str) -> RedisPlace:
    """Parse ``rediss://host:port/database``; port and database may be absent.

    Raises:
        ValueError: If it is anything else; the message is for people, and does not quote a login.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in {"redis", "rediss"}:
        message = "does not begin with rediss://"
        raise ValueError(message)
    place, _, database = rest.partition("/")
    if "@" in place:
        message = "holds a login, which would stand in plain text here"
        raise ValueError(message)
    if database and not (database.isascii() and database.isdecimal()):
        message = "does not end in the number of a database"
        raise ValueError(message)
    authority = parse_authority(place)
    return RedisPlace(scheme == "rediss", authority.host, authority.port or REDIS_PORT, int(database or 0))


def check_store(store: Store, problems: Problems) -> None:
    """Note everything that does not fit together in ``[store]``."""
    if store.file is not None and store.redis is not None:
        problems.add("store", "has both file and redis", "keep one: redis where replicas share tokens, else file")
    if store.file is None and store.redis is None:
        if store.key is not None:
            problems.add("store.key", "has no meaning without store.file or store.redis", "remove it, or add one")
    elif store.key is None:
        problems.add("store.key", "is missing: tokens are stored encrypted or not at all", f"add key; {MAKE_KEY}")
    check_key("store.key", store.key, problems)
    _check_redis(store, problems)


def _check_redis(store: Store, problems: Problems) -> None:
    if store.redis is None:
        for name in _REDIS_ONLY:
            if getattr(store, name) != type(store).model_fields[name].default:
                problems.add(f"store.{name}", "has no meaning without store.redis", "remove it, or add redis")
        return
    try:
        place = parse_redis_url(store.redis)
    except ValueError as error:
        problems.add("store.redis", str(error), f"{_URL_FIX}; a login goes into store.username and store.password")
        return
    if store.username is not None and store.password is None:
        problems.add("store.password", "is missing: a login has both parts", "add password = …")
    if not (place.is_tls or store.allow_plain or is_loopback(place.host)):
        problem = f"is without TLS: its password and all that is stored would cross the network to {place.host}"
        problems.add("store.redis", problem, "write rediss://, or set allow_plain = true in the same table")
