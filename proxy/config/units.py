"""How single values are written in the configuration: sizes, ages, networks, socket addresses, names.

The rule of this file: text in, value out.  What cannot be read raises UnitError, which says in plain words what
is wrong and what to write instead; load.py adds the file and the key.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from proxy.http.authority import MOST_PORT, build_authority, parse_authority
from proxy.routing.origin import Origin, parse_origin

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)", re.ASCII)
_SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.ASCII)
_AGE_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NOT_NAMING = frozenset({"authorization", "connection", "content-length", "host", "transfer-encoding", "via"})
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+", re.ASCII)
_MASKED_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_IPV6 = 6
_FORBIDDEN = 403

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class UnitError(ValueError):
    """One value cannot be used.

    Attributes:
        problem: What is wrong with it, to stand after the key.
        fix: What to write instead.
    """

    def __init__(self, value: object, problem: str, fix: str) -> None:
        """Keep both parts; ``value`` opens the problem, as it stands in the file, None where it may hold a login."""
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else value
        self.problem = problem if value is None else f"{shown} {problem}"
        self.fix = fix
        super().__init__(self.problem)


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """An address and a port to listen at.

    Attributes:
        port: 0 leaves the choice to the system.
    """

    address: Address
    port: int

    @property
    def host(self) -> str:
        """The address as ``socket`` wants it: without brackets."""
        return str(self.address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.address.is_loopback

    def overlaps(self, other: SocketAddress) -> bool:
        """Whether both cannot be open at once; a wildcard address takes every address of its family."""
        if self.port != other.port or self.port == 0 or self.address.version != other.address.version:
            return False
        return self.address == other.address or self.address.is_unspecified or other.address.is_unspecified

    def __str__(self) -> str:
        """Return ``127.0.0.1:8080`` or ``[::1]:8080``."""
        return build_authority(self.host, self.port)


def parse_size(value: object) -> int:
    """Read a size: bytes as a whole number, or text such as ``"64 KiB"``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _SIZE_UNITS[match[2]])
    raise UnitError(value, "is not a size", 'write bytes as a whole number, or a text such as "64 KiB" or "1.5 MiB"')


def parse_age(value: object) -> float:
    """Read a span of time: text such as ``"400d"``, ``"12h"``, ``"30m"``, ``"90s"``.

    A number alone is refused: whoever means days would have a year of audit removed after minutes.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        raise UnitError(value, "has no unit", f'write "{value}d" for days, or "{value}s" for seconds')
    if isinstance(value, str) and (match := _AGE.fullmatch(value.strip())):
        return float(match[1]) * _AGE_UNITS[match[2]]
    raise UnitError(value, "is not a span of time", 'write a text such as "400d", "12h", "30m" or "90s"')


def build_size(size: int) -> str:
    """Write bytes in the largest unit that leaves no fraction: ``64 KiB``."""
    unit = next((name for name in ("GiB", "MiB", "KiB") if size and size % _SIZE_UNITS[name] == 0), "B")
    return f"{size // _SIZE_UNITS[unit]} {unit}"


def build_age(seconds: float) -> str:
    """Write a span of time in the largest unit that leaves no fraction: ``400d``."""
    unit = next((name for name in ("d", "h", "m") if seconds % _AGE_UNITS[name] == 0), "s")
    return f"{seconds / _AGE_UNITS[unit]:.10g}{unit}"


def parse_network(value: object) -> Network:
    """Read a network in CIDR form, or a single address."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = value if isinstance(value, str) else ""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        fix = 'write a network such as "10.20.0.0/16" or "fd00::/8", or one address such as "10.20.3.4"'
        raise UnitError(value, "is not a network", fix) from None
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        fix = f'write "{network}", or the address alone if one client is meant'
        raise UnitError(value, "has bits set behind its prefix", fix)
    return network


def parse_socket_address(value: object) -> SocketAddress:
    """Read ``address:port``; an IPv6 address stands in brackets."""
    if isinstance(value, SocketAddress):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    fix = 'write an IP address and a port, such as "127.0.0.1:8080" or "[::1]:8080"'
    if not _PORT.fullmatch(port) or int(port) > MOST_PORT:
        raise UnitError(value, "does not end in a port", fix)
    if host == "localhost":
        raise UnitError(value, "is a name, which may stand for several addresses", f'write "127.0.0.1:{port}"')
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        raise UnitError(value, "does not begin with an IP address", fix) from None
    if is_bracketed != (address.version == _IPV6):
        raise UnitError(value, "is bracketed wrongly: only an IPv6 address stands in brackets", fix)
    return SocketAddress(address, int(port))


def parse_name(value: object) -> str:
    """Check a name that appears in logs, metrics and file keys."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    fix = "write 1 to 64 letters, digits, _ . or -, beginning with a letter or a digit"
    raise UnitError(value, "is not a name", fix)


def parse_host_name(value: object) -> str:
    """Check a host without scheme and port, and give it back in lower case, without brackets."""
    fix = 'write the name alone, such as "rapidsos.cad.example"'
    try:
        authority = parse_authority(value if isinstance(value, str) else "")
    except ValueError:
        raise UnitError(value, "is not a host name", fix) from None
    if authority.port is not None:
        raise UnitError(value, "has a port, and a host name has none", fix)
    return authority.host


def parse_web_origin(value: object) -> str:
    """Check a web origin (RFC 6454, section 6.2), and give it back as browsers send it."""
    try:
        return str(parse_origin(value if isinstance(value, str) else ""))
    except ValueError:
        fix = 'write scheme and host, such as "https://cad.example"'
        raise UnitError(value, "is not a web origin", fix) from None


def parse_upstream(value: object) -> Origin:
    """Read where a route leads; what it is written as is not quoted, since it could hold a login."""
    if isinstance(value, Origin):
        return value
    text = _parse_text(value)
    try:
        return parse_origin(text)
    except ValueError as error:
        fix = "write https://host or https://host:port; the path is the client's own"
        raise UnitError(None, f"is not an upstream: {error}", fix) from None


def parse_proxy(value: object) -> Origin:
    """Read the URL of a corporate proxy, which has its port written."""
    if isinstance(value, Origin):
        return value
    fix = "write http://host:port; a login goes into outbound.username and outbound.password"
    scheme, _, rest = _parse_text(value).partition("://")
    if "@" in rest:
        raise UnitError(None, "holds a login, which would stand in plain text here", fix)
    if scheme != "http":
        raise UnitError(None, "does not begin with http://, the one way to a proxy that is spoken here", fix)
    try:
        authority = parse_authority(rest.removesuffix("/"))
    except ValueError as error:
        raise UnitError(None, f"is not a proxy's URL: {error}", fix) from None
    if authority.port is None:
        raise UnitError(None, "has no port", fix)
    return Origin(scheme, authority.host, authority.port)


def _parse_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise UnitError(None, "is not a text", 'write a text in quotes: "…"')


def parse_method(value: object) -> str:
    """Check a request method; methods are case-sensitive (RFC 9110, section 9.1)."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise UnitError(value, "is not a method", 'write methods such as ["GET", "POST"]')
    if value != value.upper():
        raise UnitError(value, "would match no client, since methods are case-sensitive", f'write "{value.upper()}"')
    return value


def parse_field_name(value: object) -> str:
    """Check the name of a header field (RFC 9110, section 5.1)."""
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise UnitError(value, "is not the name of a header", 'write a table such as { "X-Agency" = "north" }')


def parse_masked_name(value: object) -> str:
    """Check the name of a field in a query, a form, JSON, XML or a head whose value the traffic log masks."""
    if isinstance(value, str) and _MASKED_NAME.fullmatch(value):
        return value
    fix = 'write it as it stands in the traffic, such as "phone_number": up to 64 letters, digits, "_", "." and "-"'
    raise UnitError(value, "is not the name of a field", fix)


def parse_pinned_address(value: object) -> str:
    """Check an address to dial, ``ip`` or ``ip:port``, and give it back in its plain form."""
    text = value if isinstance(value, str) else ""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]") if text.endswith("]") else text))
    except ValueError:
        pass
    try:
        return str(parse_socket_address(text))
    except UnitError:
        fix = 'write addresses such as ["203.0.113.10", "203.0.113.10:8443", "2001:db8::10", "[2001:db8::10]:8443"]'
        raise UnitError(value, "is not an IP address", fix) from None


def check_place(text: str) -> str:
    """Refuse what is no place for a token: ``header`` or ``query:NAME``."""
    kind, mark, name = text.partition(":")
    if text != "header" and not (kind == "query" and mark and _PARAMETER.fullmatch(name)):
        raise UnitError(text, "is no place for a token", 'write "header", or "query:" and a parameter, "query:token"')
    return text


def check_from_client(text: str) -> str:
    """Refuse what does not tell how a client says whose token it wants: ``basic`` or ``header:NAME``."""
    kind, mark, name = text.partition(":")
    if text != "basic" and not (kind == "header" and mark and _TOKEN.fullmatch(name)):
        raise UnitError(text, "is no way to name a person", 'write "basic", or "header:" and a name, "header:X-User"')
    if name.lower() in _NOT_NAMING:
        raise UnitError(text, "has a meaning of its own", 'choose a field of your clients\' own, "header:X-User"')
    return text


def check_dead_token_status(status: int) -> int:
    """Refuse 403 among the answers that make a token suspect."""
    if status == _FORBIDDEN:
        fix = "leave it out, or have dead_token ask for words in WWW-Authenticate as well"
        raise UnitError(status, "speaks of rights and not of the token, so a new token cannot help", fix)
    return status


def parse_words(value: object) -> str:
    """Check the words that an answer must hold; no words would be in every one."""
    if isinstance(value, str) and value.strip() and value.isascii() and value.isprintable():
        return value.strip()
    raise UnitError(value, "would tell nothing", 'write words such as "invalid_token" (RFC 6750, section 3.1)')
