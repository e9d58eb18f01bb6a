"""TLS towards the outside: verified always, one context for upstreams and authorization servers alike."""

from __future__ import annotations

import ssl
from typing import Final

from proxy.errors import ConfigError

NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL says of bytes that are no TLS record; which of them depends on its version and on the bytes."""
TOO_OLD: Final = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"})
"""Two are our refusal of what the other side chose, one is its refusal of what we offered."""
TIME_CODES: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
NAME_CODES: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def build_tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Build a context that verifies, with TLS 1.2 as its least: RapidSOS refuses anything older.

    There is no setting that switches verification off: one that is forgotten would send tokens to anybody.

    Args:
        ca_file: PEM file of more authorities, for a corporate proxy that inspects TLS; None for the system's alone.

    Raises:
        ConfigError: If that file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525, section 2: a name stands in subjectAltName, or it is none
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except ssl.SSLError as error:
            where, problem = "outbound.ca_file", f"{ca_file} holds no certificate in PEM form"
            raise ConfigError(where, problem, "give a file that begins with -----BEGIN CERTIFICATE-----") from error
        except OSError as error:
            where, problem = "outbound.ca_file", f"{ca_file} cannot be read ({error.strerror})"
            raise ConfigError(where, problem, "let the proxy's user read it, or correct the path") from error
    return context


def explain_handshake(name: str, error: OSError) -> str:
    """Explain why a TLS handshake failed, and name the next step.

    Args:
        name: Whom it was with, as ``host:port``.
        error: What ended it; not that it took too long.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {name} was not accepted: {error.verify_message}; {_advise_on_certificate(error)}"
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return (
            f"{name} closed the connection during the TLS handshake; "
            "a firewall on the way may not let it through, or the server may know nothing above TLS 1.1"
        )
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    if reason in NOT_TLS:
        return (
            f"{name} answered something that is not TLS; "
            "check the port, and whether a gateway or a login page of the network answers in its place"
        )
    if reason in TOO_OLD:
        return (
            f"{name} offers no TLS 1.2 or later ({reason}); "
            "update that server, or whatever on the way inspects TLS and speaks for it"
        )
    return f"the TLS handshake with {name} failed ({reason}); `openssl s_client -connect {name}` shows more"


def _advise_on_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in TIME_CODES:
        return "check the clock of the proxy's machine"
    if error.verify_code in NAME_CODES:
        return "check the host in the configuration, and what DNS says of it"
    return "if the network inspects TLS, put the certificate of its authority into outbound.ca_file"
