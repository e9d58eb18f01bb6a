"""What a server's certificate says: whose it is, who signed it, from when until when (RFC 5280).

The rule of this file: pure, and what it reads was not verified: good for telling people what is wrong, and for
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from datetime import datetime

MOST_NAMES = 3
"""Of a certificate's names that are shown; some have hundreds."""
_PARTS = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, as far as people need to know it.

    Attributes:
        names: Host names and addresses that it is for.
        issuer: Who signed it; an inspecting firewall is recognised by it.
        is_self_signed: Whether it is its own issuer.
    """

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    is_self_signed: bool

    @property
    def shown_names(self) -> str:
        """The first few names."""
        more = len(self.names) - MOST_NAMES
        shown = ", ".join(self.names[:MOST_NAMES]) or "no host"
        return f"{shown} and {more} more" if more > 0 else shown


def parse_certificate(der: bytes) -> Certificate | None:
    """Parse a certificate; None for what is none."""
    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            names=_find_names(found),
            issuer=_describe_name(found.issuer),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            is_self_signed=found.issuer == found.subject,
        )
    except ValueError:
        return None


def _find_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _describe_name(name: x509.Name) -> str:
    parts = [str(item.value) for oid in _PARTS for item in name.get_attributes_for_oid(oid)]
    return ", ".join(parts) or name.rfc4514_string() or "nobody"
