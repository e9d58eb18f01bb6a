"""Certificates: a local authority's own, and those that it signs for hosts (RFC 5280).

The rule of this file: what is issued can do no more than it is for.  The authority vouches for the hosts that it was
made for and for no others, and for no further authority; a host's certificate is good for a week.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.http.authority import is_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    SigningKey = EllipticCurvePrivateKey | RSAPrivateKey

LEAF_LIFE: Final = timedelta(days=7)
"""Of a host's certificate: a proxy that runs renews it each day, and a stolen one is soon worth nothing."""
BACKDATED: Final = timedelta(days=1)
"""A client whose clock is slow must not find a new certificate not valid yet."""
YEAR: Final = timedelta(days=365)
LONGEST_COMMON_NAME: Final = 64
"""RFC 5280, appendix A.1, ub-common-name."""
_EVERY_ADDRESS = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_NO_USE: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


def build_authority(
    name: str, key: EllipticCurvePrivateKey, hosts: Collection[str], now: datetime, years: int
) -> x509.Certificate:
    """Build the certificate of a new authority, signed by itself.

    Args:
        name: As people will find it among the authorities that a machine trusts.
        key: Its private key.
        hosts: What it may vouch for, with all names below them; empty for anything.
        now: From now on; UTC.
        years: How long.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(**{**_NO_USE, "key_cert_sign": True, "crl_sign": True})
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + years * YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(_constrain(hosts), critical=True)  # RFC 5280, section 4.2.1.10
    return builder.sign(key, hashes.SHA256())


def build_leaf(
    host: str, key: EllipticCurvePublicKey, issuer: x509.Certificate, issuer_key: SigningKey, now: datetime
) -> x509.Certificate:
    """Build the certificate that a client is shown for a host.

    It never outlives its issuer; of one that has expired, or is not valid yet, it is neither.

    Args:
        host: A name, or an address without brackets.
        key: The public key that it is for.
        issuer: The authority's certificate.
        issuer_key: The key to that.
        now: UTC.
    """
    begin = max(issuer.not_valid_before_utc, min(now, issuer.not_valid_after_utc) - BACKDATED)
    end = min(max(now, begin) + LEAF_LIFE, issuer.not_valid_after_utc)
    usage = x509.KeyUsage(**{**_NO_USE, "digital_signature": True})
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder(issuer.subject, _name_host(host), key, x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_build_name(host)]), critical=is_address(host))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def from_timestamp(seconds: float) -> datetime:
    """Return a moment since the epoch as certificates have it: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def _constrain(hosts: Collection[str]) -> x509.NameConstraints:
    """Allow these hosts and no others; where only addresses are allowed no name is, and the reverse."""
    allowed = [_build_constraint(host) for host in hosts]
    excluded: list[x509.GeneralName] = []
    if not any(isinstance(name, x509.IPAddress) for name in allowed):
        excluded += map(x509.IPAddress, _EVERY_ADDRESS)
    if not any(isinstance(name, x509.DNSName) for name in allowed):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(allowed, excluded or None)


def _build_constraint(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_network(host)) if is_address(host) else x509.DNSName(host)


def _build_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if is_address(host) else x509.DNSName(host)


def _name_host(host: str) -> x509.Name:
    """Name the host for people; verifiers read the alternative name, which has room for a longer one.

    An address is not: OpenSSL would hold it to constraints on names (RFC 6125, section 6.4.4).
    """
    if is_address(host):
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:LONGEST_COMMON_NAME])])
