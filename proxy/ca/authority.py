"""The local authority that the configuration names: read, judged, and tried before a client meets it.

The rule of this file: a certificate that no client would believe is never shown.  Each is made, and a handshake with it
is made in memory by a client that trusts the authority and nothing else; what OpenSSL has against it is told by key,
problem and fix.  Files may hang, and keys take time: call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from proxy.ca.issuing import build_leaf, from_timestamp
from proxy.certificates import (
    CertificateError,
    Validity,
    build_context,
    find_validity,
    name_reason,
    read_certificates,
    read_file,
    spell_certified_key,
    spell_key,
)
from proxy.program import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from proxy.ca.issuing import SigningKey
    from proxy.config.models import Interception

CA_CERTIFICATE, CA_KEY = "ca_certificate", "ca_key"
"""Keys of the section ``interception``."""
_MAKE_ONE = f"`{PROGRAM} ca init` makes a certificate and its key"
_OUT_OF_TIME: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: told of as such, with the day."""
_MOST_FLIGHTS = 4
"""Of a handshake; TLS 1.3 takes two, and one more where the client has to be told of the group."""


@dataclass(frozen=True, slots=True)
class LocalAuthority:
    """What signs for hosts.

    Attributes:
        chain: Its certificate, and behind it those that signed it.
        key: Its private key.
    """

    chain: tuple[x509.Certificate, ...]
    key: SigningKey

    def __repr__(self) -> str:
        """Return whose it is."""
        return f"<LocalAuthority {self.subject}>"

    @property
    def subject(self) -> str:
        """Its name (RFC 4514)."""
        return self.chain[0].subject.rfc4514_string()

    @property
    def validity(self) -> Validity:
        """From when until when it is good."""
        return find_validity(self.chain[0])

    def build_contexts(self, hosts: Iterable[str], now: float) -> dict[str, ssl.SSLContext]:
        """Build what handshakes in place of each host are made with.

        All share a new private key, which is on no disk.

        Args:
            hosts: Names and addresses, in lower case.
            now: Seconds since the epoch.

        Raises:
            CertificateError: If a client that trusts this authority would not believe it for one of them.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return {host: self._build_context(host, key, now) for host in sorted(hosts)}

    def _build_context(self, host: str, key: ec.EllipticCurvePrivateKey, now: float) -> ssl.SSLContext:
        leaf = build_leaf(host, key.public_key(), self.chain[0], self.key, from_timestamp(now))
        context = build_context()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            with _lend_path(b"".join((secret, *map(_write, (leaf, *self.chain))))) as path:
                context.load_cert_chain(path)
        except OSError as error:  # ssl.SSLError is one
            problem = f"cannot be shown to clients ({name_reason(error)})"
            fix = f"use an EC key, or an RSA key of 2048 bits or more: {_MAKE_ONE}"
            raise CertificateError(CA_CERTIFICATE, problem, fix) from error
        if (objection := self._find_objection(context, host)) is not None:
            problem = f"does not hold for {host}, which a route names ({objection})"
            fix = f"make one that does, with `{PROGRAM} ca init --host {host}`, and a --host for each other one"
            raise CertificateError(CA_CERTIFICATE, problem, fix)
        context.sni_callback = _NameCheck(host)
        return context

    def _find_objection(self, context: ssl.SSLContext, host: str) -> str | None:
        """Return what a client that trusts this authority has against a context; None if it has nothing."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(cadata=_write(self.chain[0]).decode())
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be no root
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = (
            client.wrap_bio(back, there, server_hostname=host),
            context.wrap_bio(there, back, server_side=True),
        )
        try:
            for _ in range(_MOST_FLIGHTS):
                for end in ends:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        end.do_handshake()
        except ssl.SSLCertVerificationError as error:
            return None if error.verify_code in _OUT_OF_TIME else error.verify_message
        except ssl.SSLError as error:
            return error.reason or "no handshake comes about"
        return None


class _NameCheck:
    """Refuses a client that asks one host's tunnel for another host's certificate (RFC 6066, section 3)."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self, _tls: object, name: str | None, _context: object) -> int | None:
        """Return the alert; None lets the handshake go on, also where the client names nobody."""
        if name is None or name.lower().removesuffix(".") == self._host:
            return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def read_authority(settings: Interception) -> LocalAuthority:
    """Read the authority as its files are now.

    Raises:
        CertificateError: If it cannot be used.
    """
    chain = read_certificates(CA_CERTIFICATE, settings.ca_certificate)
    if not _is_authority(chain[0]):
        problem = f"{settings.ca_certificate} begins with a certificate that may not sign others"
        raise CertificateError(CA_CERTIFICATE, problem, f"give an authority's; {_MAKE_ONE}")
    key = _read_key(settings.ca_key)
    if spell_key(key.public_key()) != spell_certified_key(chain[0]):
        problem = f"{settings.ca_key} is not the key to the certificate in {settings.ca_certificate}"
        raise CertificateError(CA_KEY, problem, f"give the two files that were made together; {_MAKE_ONE}")
    return LocalAuthority(tuple(chain), key)


def read_authority_validity(settings: Interception) -> Validity:
    """Read from when until when the authority is good.

    Raises:
        CertificateError: If it cannot be read.
    """
    return find_validity(read_certificates(CA_CERTIFICATE, settings.ca_certificate)[0])


def list_paths(settings: Interception) -> Sequence[str]:
    """List the files that the authority is in."""
    return settings.ca_certificate, settings.ca_key


def _read_key(path: str) -> SigningKey:
    content = read_file(CA_KEY, path)
    if os.name == "posix" and Path(path).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        problem = f"{path} can be read by every user of this machine, and whoever reads it can be RapidSOS to clients"
        fix = f"chmod 600 {path}; if others may have read it, make a new authority, and have clients forget this one"
        raise CertificateError(CA_KEY, problem, fix)
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        fix = "give it without a passphrase, mode 0600: `openssl pkey -in FILE`"
        raise CertificateError(CA_KEY, f"{path} is encrypted", fix) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(CA_KEY, f"{path} holds no private key in PEM form", _MAKE_ONE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        problem = f"{path} is neither an EC nor an RSA key, and clients know no others"
        raise CertificateError(CA_KEY, problem, _MAKE_ONE)
    return key


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _write(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


@contextlib.contextmanager
def _lend_path(content: bytes) -> Iterator[str]:
    """Lend ``content`` a path for a moment: Python's ``ssl`` takes a key from nothing else.  No disk ever has it."""
    descriptor = os.memfd_create("certificate")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
