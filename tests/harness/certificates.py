"""Certificates in files, as a listener is given them, and clients that speak TLS to it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from harness.running import RawClient

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import trustme

    from harness.running import RunningProxy

RARE_PEM = b"""\
-----BEGIN CERTIFICATE-----
MIIBbjCCARmgAwIBAgIUeBsj7G4c2HUsrCGA13MUxffCkz4wCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbWlkZGxlMB4XDTI2MTEyNDE4NTQ0MVoXDTI2MTIwMzE4NTQ0
MVowETEPMA0GA1UEAwwGbWlkZGxlMFUwEwYHKoZIzj0CAQYIKoZIzj0DAQQDPgAE
Dn2f8yAJz0/wGvuzK8PzlETOpZb/WCC8AWiLOiKmdmUsizsg+tNRb8XniREMq40L
4tonhCrRfYMH3VtOo1MwUTAdBgNVHQ4EFgQUlNASanXzb8aJteFo5g6FIoHHfjAw
HwYDVR0jBBgwFoAUlNASanXzb8aJteFo5g6FIoHHfjAwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNDADBAAh5gWZrMO6eJp0YfDWU+wEXLoGc+mNnrb3Xdq4Y0
gKYCHnPeCju6bjwXicn5vvoJ1epIITuCNYblT3DunleUJA==
-----END CERTIFICATE-----
"""
"""An authority on the curve prime239v1, which OpenSSL knows and ``cryptography`` does not."""


def write_pair(folder: Path, authority: trustme.CA, *names: str, not_after: datetime | None = None) -> dict[str, str]:
    """Issue a certificate for these names; return the table ``tls`` of a listener that has it."""
    leaf = authority.issue_cert(*(names or ("127.0.0.1", "localhost")), not_after=not_after)
    certificate, key = folder / "listener.pem", folder / "listener.key"
    key.write_bytes(leaf.private_key_pem.bytes())
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    return {"certificate": str(certificate), "key": str(key)}


def build_client_tls(authority: trustme.CA, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts ``authority``, and shows a certificate if it has one."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


async def connect_tls(proxy: RunningProxy, tls: ssl.SSLContext) -> RawClient:
    """Open a connection to the first listener, and finish the handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=tls, server_hostname="127.0.0.1")
    client = RawClient(reader, writer)
    proxy.clients.append(client)
    return client


def show_certificate(client: RawClient) -> bytes:
    """Return the certificate that the listener has shown to a client."""
    found: bytes = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found
