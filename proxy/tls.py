"""TLS towards the outside: verified always, one context for upstreams and authorization servers alike."""

from __future__ import annotations

import ssl

from proxy.errors import ConfigError


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
