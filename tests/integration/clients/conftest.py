"""Fixtures of the conformance tests: a whole site behind TLS, with a real nginx in it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.site import CORE, EDX, Site, running_site

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a server's certificate for RapidSOS's names, its key beside it in one file."""
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    authority.issue_cert(CORE, EDX).private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@pytest.fixture
def run_site(tmp_path: Path, server_tls: ssl.SSLContext, certificate: Path, ca_file: Path) -> Any:
    """Return what runs a site whose nginx has settings of a test's own."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Site]:
        known = {"certificate": certificate, **settings}
        async with running_site(tmp_path, tls=server_tls, ca_file=ca_file, **known) as site:
            yield site

    return run


@pytest.fixture
async def site(run_site: Any) -> AsyncIterator[Site]:
    """Run a site."""
    async with run_site() as site:
        yield site
