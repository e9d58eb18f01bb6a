"""TLS with one host: what was agreed on, or what kept it from being agreed on, and who stands in between.

The rule of this file: a certificate that was not believed is looked at over a second connection, on which nothing is
sent.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from proxy.doctor.certificate import Certificate, parse_certificate
from proxy.doctor.finding import Place, Whose
from proxy.errors import ExchangeError
from proxy.http.authority import is_loopback
from proxy.relay.dial import Phases

if TYPE_CHECKING:
    from proxy.doctor.finding import Finding
    from proxy.doctor.instruments import Instruments
    from proxy.doctor.line import Handshake
    from proxy.errors import UpstreamError
    from proxy.relay.dial import Destination
    from proxy.routing.origin import Origin

TLS = Place("tls")
WARN_DAYS = 14
"""Left to a certificate; automatic renewal begins at 30, so at 14 it has failed."""
MODERN: Final = frozenset({"TLSv1.2", "TLSv1.3"})
NOT_YET_VALID, EXPIRED, WRONG_HOST, WRONG_ADDRESS = 9, 10, 62, 64
"""X509_V_ERR_* of OpenSSL's verification."""
PLAIN_TEXT: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)
"""What OpenSSL says of an answer that is no TLS."""


def judge_tls(origin: Origin, handshake: Handshake | None, now: float) -> Finding:
    """Judge TLS that was agreed on, its certificate verified.

    Args:
        origin: Whose.
        handshake: None where there is none.
        now: Seconds since the epoch.
    """
    if handshake is None:
        return _judge_plain(origin)
    certificate = parse_certificate(handshake.certificate)
    if certificate is None:
        return TLS.ok(f"{handshake.version}, certificate verified")
    end = certificate.not_after
    days = (end - datetime.fromtimestamp(now, UTC)).days
    words = (
        f"{handshake.version}, certificate for {certificate.shown_names} verified, signed by {certificate.issuer}, "
        f"valid until {end:%Y-%m-%d}"
    )
    if days < WARN_DAYS:
        fix = "tell whoever runs that host, RapidSOS or the centre's firewall, to renew it"
        return TLS.warning(f"{words}, in {days} days", fix, Whose.RAPIDSOS)
    return TLS.ok(words)


def _judge_plain(origin: Origin) -> Finding:
    if is_loopback(origin.host):
        return TLS.ok("none: plain http, which does not leave this machine")
    fix = "write https:// unless a gateway of the centre's takes over here"
    return TLS.warning("none: plain http, so token and data cross the network in clear", fix, Whose.CONFIGURATION)


async def explain_tls(error: UpstreamError, destination: Destination, instruments: Instruments) -> Finding:
    """Say why no TLS could be agreed on, whose it is, and what to do."""
    cause = error.__cause__
    origin = destination.origin
    if isinstance(cause, ssl.SSLCertVerificationError):
        handshake = await _look(destination, instruments)
        certificate = parse_certificate(handshake.certificate) if handshake is not None else None
        return _explain_certificate(error, cause.verify_code, origin, certificate, instruments)
    if isinstance(cause, ssl.SSLError) and cause.reason in PLAIN_TEXT:
        fix = f"check that {origin.port} is the port of https there; a firewall's own page looks the same"
        return TLS.failed(f"{origin.host}:{origin.port} answers in plain text, not in TLS", fix, Whose.NETWORK)
    handshake = await _look(destination, instruments)
    if handshake is not None and handshake.version not in MODERN:
        words = f"no TLS 1.2 or newer: {origin.host}:{origin.port} offers {handshake.version}"
        fix = "RapidSOS speaks TLS 1.2; find what answers in its place, a gateway or firewall, and have it renewed"
        return TLS.failed(words, fix, Whose.NETWORK)
    fix = f"have the firewall let TLS to {origin.host} through; the connection opens, and then no TLS comes of it"
    return TLS.failed(error.detail, fix, Whose.NETWORK)


def _explain_certificate(
    error: UpstreamError, code: int, origin: Origin, certificate: Certificate | None, instruments: Instruments
) -> Finding:
    if certificate is None:
        fix = "find out whose certificate it is: openssl s_client shows it"
        return TLS.failed(error.detail, fix, Whose.NETWORK)
    now = datetime.fromtimestamp(instruments.wall(), UTC)
    if code == EXPIRED:
        words = f"the certificate expired on {certificate.not_after:%Y-%m-%d}; this machine's clock says {now:%Y-%m-%d}"
        fix = f"correct this machine's clock if it is wrong; else have {origin.host} renew it (by {certificate.issuer})"
        return TLS.failed(words, fix, Whose.RAPIDSOS)
    if code == NOT_YET_VALID:
        words = f"the certificate begins on {certificate.not_before:%Y-%m-%d}; this machine's clock says {now:%Y-%m-%d}"
        return TLS.failed(words, "correct this machine's clock", Whose.MACHINE)
    if code in {WRONG_HOST, WRONG_ADDRESS}:
        words = (
            f"the certificate is for {certificate.shown_names}, not for {origin.host}; signed by {certificate.issuer}"
        )
        fix = "check upstream, token_url and addresses, and where DNS leads: another server answers there"
        return TLS.failed(words, fix, Whose.NETWORK)
    return _explain_issuer(origin, certificate, instruments.config.outbound.ca_file)


def _explain_issuer(origin: Origin, certificate: Certificate, ca_file: str | None) -> Finding:
    how = "signed by itself" if certificate.is_self_signed else f"signed by {certificate.issuer}"
    known = f", nor does outbound.ca_file ({ca_file})" if ca_file is not None else ""
    words = f"the certificate is {how}, whom this machine does not trust{known}"
    fix = (
        f"if that is the centre's own firewall, which inspects TLS, have it leave {origin.host} alone, or name its CA "
        "certificate in outbound.ca_file; if nobody knows it, someone listens: do not go on"
    )
    return TLS.failed(words, fix, Whose.NETWORK)


async def _look(destination: Destination, instruments: Instruments) -> Handshake | None:
    """See what the server shows to whoever believes everything; None when that too fails."""
    try:
        async with asyncio.timeout(instruments.limits.tls_s):
            line = await instruments.dial_credulously(destination, Phases())
    except (ExchangeError, TimeoutError):
        return None
    line.abandon()
    return line.handshake
