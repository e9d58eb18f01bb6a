"""The program in front of an upstream that is well, for faults of its machine, its disk and its clients."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.program import Program, build_toml, running_program
from harness.upstream import ScriptedUpstream, answering, scripted_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PASSWORD = "a-basic-password-5Vn2"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream that answers every request without a body."""
    async with scripted_upstream(answering(OK)) as scripted:
        yield scripted


@pytest.fixture
def serving(tmp_path: Path) -> Any:
    """Return what runs ``serve`` in front of a port of this machine; its log is ``traffic.jsonl``."""

    @asynccontextmanager
    async def run(
        upstream: int, *, environ: dict[str, str] | None = None, streams: dict[str, int] | None = None, **sections: Any
    ) -> AsyncIterator[Program]:
        (tmp_path / "password").write_text(PASSWORD)
        (tmp_path / "password").chmod(0o600)
        document = {
            "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
            "credential": {"lis": {"grant": "basic", "username": "lis", "password": {"file": "password"}}},
            "route": [
                {
                    "name": "api",
                    "match": {"path": "/api/"},
                    "upstream": f"http://127.0.0.1:{upstream}",
                    "credential": "lis",
                }
            ],
            "traffic_log": {"path": "traffic.jsonl"},
            "admin": {"bind": "127.0.0.1:0", "control": "control.sock"},
            **sections,
        }
        (tmp_path / "proxy.toml").write_text(build_toml(document))
        config = str(tmp_path / "proxy.toml")
        async with running_program("serve", "--config", config, **(streams or {}), **(environ or {})) as program:
            if "stderr" not in (streams or {}):
                await program.wait_started()
            yield program

    return run
