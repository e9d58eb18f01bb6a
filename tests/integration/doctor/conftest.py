"""Certificates and ports in the states that break a link."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from proxy.config.secret import Secret

if TYPE_CHECKING:
    import trustme


@pytest.fixture
def basic() -> dict[str, Any]:
    """Return a credential without a token server."""
    login = {"username": Secret("lis", "test"), "password": Secret("a-lis-password", "test")}
    return {"grant": "basic", "token_url": None, "client_id": None, "client_secret": None, **login}


@pytest.fixture
def nobody() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def expired_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context with a certificate that was good until a year ago."""
    end = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    return build_server_tls(authority, not_before=end - dt.timedelta(days=90), not_after=end)


@pytest.fixture
def expiring_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context with a certificate that is good for three more days."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=3, hours=1)
    return build_server_tls(authority, not_after=end)


@pytest.fixture
def future_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context with a certificate that begins in a month."""
    start = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    return build_server_tls(authority, not_before=start, not_after=start + dt.timedelta(days=90))


@pytest.fixture
def foreign_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context with a good certificate for another host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mail.elsewhere.example").configure_cert(context)
    return context


@pytest.fixture
def old_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context that speaks nothing above TLS 1.1."""
    context = build_server_tls(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def build_server_tls(authority: trustme.CA, **validity: dt.datetime) -> ssl.SSLContext:
    """Build a server's context with a certificate for this machine."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1", **validity).configure_cert(context)
    return context
