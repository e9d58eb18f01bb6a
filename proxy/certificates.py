"""What a listener of TLS is built from: its certificate, the key to it, and who may vouch for clients.

The rule of this file: files in, a context for handshakes out.  Whatever is wrong with them is told by key, problem and
fix, and never with a character of the private key or its passphrase.  Files may hang: call it in a thread.
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from proxy.config.places import SourceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from proxy.config.models import ListenerTLS

SOON_S: Final = 14 * 86_400.0
"""Seconds before its end from which a certificate is warned of: time for somebody to come back from leave."""
DAY_S: Final = 86_400.0
MOST_BYTES: Final = 4 * 1024 * 1024
"""Beyond every bundle of authorities; it keeps a wrong path, such as a log, from being read whole."""
KEY_GROUP: Final = "prime256v1"
"""P-256.  Python sets one group or leaves all that OpenSSL has, those of several kilobits among them."""
CERTIFICATE, KEY, KEY_PASSWORD, CLIENT_CA = "certificate", "key", "key_password", "client_ca"
"""Keys of the table ``tls``."""
_READABLE = "check the path, and that the proxy's user may read the file"
_PEM = "give a file that begins with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der -in FILE` makes one of DER"
_ENCRYPTED = b"ENCRYPTED"

log = structlog.get_logger(__name__)


class CertificateError(Exception):
    """The files of a listener's TLS cannot be used.

    Attributes:
        key: Of the table ``tls``.
        problem: What is wrong.
        fix: What to do about it.
    """

    def __init__(self, key: str, problem: str, fix: str) -> None:
        """Keep the three parts."""
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is good, in seconds since the epoch."""

    not_before: float
    not_after: float

    @property
    def until(self) -> str:
        """The day on which it ends, in UTC."""
        return datetime.fromtimestamp(self.not_after, UTC).strftime("%Y-%m-%d")

    def find_trouble(self, now: float) -> str | None:
        """Return what is wrong with it, or soon will be, at a moment since the epoch; None if nothing is."""
        if now >= self.not_after:
            return f"has expired, {_count_days(now - self.not_after)} ago: clients that verify it refuse it"
        if now < self.not_before:
            return f"is not valid yet, for {_count_days(self.not_before - now)} more; is this machine's clock right?"
        if now > self.not_after - SOON_S:
            return f"expires in {_count_days(self.not_after - now)}"
        return None


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """What handshakes are made with.

    Attributes:
        context: For ``wrap_server``.
        subject: Whom the certificate is for (RFC 4514).
        validity: Of the first certificate of its file, which is the listener's own.
    """

    context: ssl.SSLContext
    subject: str
    validity: Validity


def read_server_tls(tls: ListenerTLS) -> ServerTLS:
    """Read certificate, key and client authorities as they are now.

    Raises:
        CertificateError: If one of them cannot be used.
    """
    chain = read_certificates(CERTIFICATE, tls.certificate)
    password = _read_password(tls)
    _check_key(chain, _read_key(tls, password), tls)
    context = build_context()
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=password or "")
    except OSError as error:  # ssl.SSLError is one
        fix = f"`openssl s_server -cert {tls.certificate} -key {tls.key}` shows more"
        raise CertificateError(CERTIFICATE, f"{tls.certificate} cannot be used ({name_reason(error)})", fix) from error
    if tls.client_ca is not None:
        _load_authorities(context, tls.client_ca)
        _ask_for_certificates(context)
    return ServerTLS(context, chain[0].subject.rfc4514_string(), find_validity(chain[0]))


def build_context() -> ssl.SSLContext:
    """Build what clients are spoken TLS to with; certificate and key have yet to be loaded.

    TLS 1.2 is the least; below it is nothing that a law for criminal justice data still allows.  Keys are agreed on
    over P-256, which every client has (RFC 8446, section 9.1); else a client could choose ffdhe8192, which takes
    120 ms of ours for one message of its.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ecdh_curve(KEY_GROUP)
    context.set_alpn_protocols(["http/1.1"])
    return context


def wrap_server(context: ssl.SSLContext, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
    """Begin a client's connection, as the server.

    One that must show a certificate shows it at every handshake: it has a cache of sessions to itself, which ends with
    it.  Under TLS 1.2 OpenSSL would keep its session, certificate and all, in that of the context, and Python has
    nothing to turn that off; but the cache is that of the context which a connection began with (SSL_set_SSL_CTX).
    """
    if context.verify_mode is ssl.CERT_NONE:
        return context.wrap_bio(incoming, outgoing, server_side=True)
    own = build_context()
    _ask_for_certificates(own)
    connection = own.wrap_bio(incoming, outgoing, server_side=True)
    connection.context = context  # whose certificate is shown, and whose authorities are asked
    return connection


def read_validity(tls: ListenerTLS) -> Validity:
    """Read from when until when the certificate is good.

    Raises:
        CertificateError: If it cannot be read.
    """
    return find_validity(read_certificates(CERTIFICATE, tls.certificate)[0])


def name_client(der: bytes) -> str:
    """Return whose a verified certificate is: its subject (RFC 4514), else its first alternative name."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        if subject := certificate.subject.rfc4514_string():
            return subject
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return next((str(name.value) for name in names), "without a name")
    except (ValueError, x509.ExtensionNotFound):
        return "without a name"


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    read_certificates(CLIENT_CA, path)
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:
        fix = f"`openssl storeutl -noout -text -certs {path}` shows what is in it"
        raise CertificateError(CLIENT_CA, f"{path} cannot be used ({name_reason(error)})", fix) from error


def _ask_for_certificates(context: ssl.SSLContext) -> None:
    """Let in only clients with a certificate by one of the authorities."""
    context.verify_mode = ssl.CERT_REQUIRED
    # Whatever stands in the file is trusted as it stands, an intermediate authority too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def read_certificates(key: str, path: str) -> list[x509.Certificate]:
    """Read the certificates that a file of the configuration's ``key`` holds, at least one.

    Raises:
        CertificateError: If it cannot be read, or holds none.
    """
    content = read_file(key, path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise CertificateError(key, f"{path} holds no certificate in PEM form", _PEM) from error


def _read_password(tls: ListenerTLS) -> str | None:
    """Return the passphrase as its source has it now: it may have changed together with the key."""
    secret = tls.key_password
    if secret is None or secret.place is None:
        return None if secret is None else secret.reveal()
    try:
        return secret.place.read().reveal()
    except SourceError as error:
        raise CertificateError(KEY_PASSWORD, error.problem, error.fix) from None


def _read_key(tls: ListenerTLS, password: str | None) -> PrivateKeyTypes:
    content = read_file(KEY, tls.key)
    _warn_of_exposure(tls.key)
    is_encrypted = _ENCRYPTED in content
    if is_encrypted and password is None:
        fix = "add key_password = { file = … } beside it, or give the key without a passphrase"
        raise CertificateError(KEY, f"{tls.key} is encrypted, and there is no passphrase", fix)
    try:
        return load_pem_private_key(content, password.encode() if is_encrypted and password is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_encrypted:
            problem = f"does not open {tls.key}"
            raise CertificateError(KEY_PASSWORD, problem, "give the passphrase of that key") from None
        fix = "give a file that holds -----BEGIN PRIVATE KEY-----; `openssl pkey -in FILE` shows whether it is one"
        raise CertificateError(KEY, f"{tls.key} holds no private key in PEM form", fix) from None


def _warn_of_exposure(path: str) -> None:
    if os.name == "posix" and Path(path).stat().st_mode & stat.S_IROTH:
        log.warning("secret.exposed", path=path, problem="every user can read it", fix=f"chmod 640 {path}")


def _check_key(chain: list[x509.Certificate], key: PrivateKeyTypes, tls: ListenerTLS) -> None:
    """Refuse a key that is not the first certificate's, before OpenSSL does so in words of its own."""
    ours = spell_key(key.public_key())
    matches = [spell_certified_key(certificate) == ours for certificate in chain]
    if matches[0]:
        return
    if any(matches):
        fix = "put that certificate first, and behind it, in order, those that signed it"
        raise CertificateError(CERTIFICATE, f"{tls.certificate} does not begin with the certificate of the key", fix)
    fix = "give the key that the certificate was requested with; a renewed certificate often comes with a new one"
    raise CertificateError(KEY, f"{tls.key} is not the key to the certificate in {tls.certificate}", fix)


def spell_key(key: PublicKeyTypes) -> bytes:
    """Return a public key in the one way in which it is compared."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spell_certified_key(certificate: x509.Certificate) -> bytes | None:
    """Return the key of a certificate likewise; None for one that is of no known kind, as on a rare curve."""
    try:
        return spell_key(certificate.public_key())
    except (UnsupportedAlgorithm, ValueError):
        return None


def read_file(key: str, path: str) -> bytes:
    """Read a file that ``key`` of the configuration names.

    Raises:
        CertificateError: If it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise CertificateError(key, f"{path} cannot be read ({error.strerror})", _READABLE) from error


def name_reason(error: OSError) -> str | None:
    """Return why OpenSSL, or the system, could not use a file."""
    return (isinstance(error, ssl.SSLError) and error.reason) or error.strerror


def find_validity(certificate: x509.Certificate) -> Validity:
    """Return from when until when a certificate is good."""
    return Validity(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def _count_days(seconds: float) -> str:
    days = int(seconds // DAY_S)
    return "less than a day" if days < 1 else f"{days} day{'' if days == 1 else 's'}"
