"""Our proxy as a process of its own in front of one upstream, and what a proxy under measurement is."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession
from prometheus_client.parser import text_string_to_metric_families

from bench.process import START_S, BenchError, Process, find_free_port, running
from bench.traffic_file import TrafficFile
from proxy.simulator.tokens import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from proxy.config.secret import Secret
    from proxy.simulator.server import Simulator

MEBIBYTE = 1024 * 1024
OWN = "rapidsos-proxy"
"""What the table calls ours."""
_OK = 200
_CONFIG = """\
[[listener]]
name = "cad"
bind = "127.0.0.1:{port}"

[credential.core]
grant = "client_credentials"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ file = "client_secret" }}

[[route]]
name = "ingress"
match = {{ path = "/ingress/" }}
strip = "/ingress"
upstream = "{upstream}"
credential = "core"

[[route]]
name = "egress"
match = {{ path = "/egress/" }}
strip = "/egress"
upstream = "{upstream}"
credential = "core"

[[route]]
name = "core-host"
match = {{ host = "api-sandbox.rapidsos.com" }}
upstream = "{upstream}"
credential = "core"

[traffic_log]
path = "{log}"
rotate = {{ size = {rotate_bytes} }}

[admin]
bind = "127.0.0.1:{admin_port}"

[limits]
body = {body_bytes}
{limits}

{more}
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What every proxy is given.

    Attributes:
        upstream: Origin that it forwards to.
        authority: Hands out the tokens.
        directory: For configuration, logs and output.
        core: The only one that the proxy may use; None for any.
        ca: PEM of who signed the upstream's certificate, for one over TLS.
    """

    upstream: str
    authority: Simulator
    directory: Path
    core: int | None = None
    ca: Path | None = None

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.authority.url}{TOKEN_PATH}"


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy under measurement.

    Attributes:
        name: What the table calls it.
        log: What it writes about each exchange.
        fields: That its clients must send themselves: the token, where there is no proxy at all.
    """

    name: str
    log: str
    process: Process
    port: int
    fields: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    def tidy(self) -> None:
        """Make room: called after each round, since the logs of a race are gigabytes.

        Raises:
            BenchError: If a log that there should be is empty.
        """


@dataclass(frozen=True, slots=True)
class OwnProxy(RunningProxy):
    """Ours, with the full traffic log going to a file.

    Attributes:
        admin_port: Of the admin listener.
        traffic: The log.
        secret: The file that holds the client's secret.
    """

    admin_port: int
    traffic: TrafficFile
    secret: Path

    def tidy(self) -> None:
        """Count the records of the files put aside, and remove them."""
        self.traffic.clear_rotated()

    async def read_metrics(self) -> dict[str, float]:
        """Read its counters, added up over their labels."""
        async with ClientSession() as session, session.get(f"{self._admin_url}/metrics") as answer:
            text = await answer.text()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    async def wait_ready(self) -> None:
        """Wait until it listens and has a token.

        Raises:
            BenchError: If it ended, or took too long.
        """
        try:
            async with asyncio.timeout(START_S), ClientSession() as session:
                while not await self._is_ready(session):
                    self.process.check_running()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            message = f"{self.name} is not ready after {START_S:.0f} s"
            raise BenchError(message) from None

    @property
    def _admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    async def _is_ready(self, session: ClientSession) -> bool:
        try:
            async with session.get(f"{self._admin_url}/ready") as answer:
                return answer.status == _OK
        except ClientError:
            return False


@asynccontextmanager
async def running_own(
    setting: Setting,
    *,
    body_bytes: int = 100 * MEBIBYTE,
    rotate_bytes: int = 256 * MEBIBYTE,
    limits: str = "",
    more: str = "",
) -> AsyncIterator[OwnProxy]:
    """Run ours as ``serve`` does for the length of a block.

    Args:
        setting: What every proxy is given.
        body_bytes: The configuration's limit for a request's body.
        rotate_bytes: Size at which the log begins a new file.
        limits: Lines to add to the configuration's limits.
        more: Tables to add to the configuration.
    """
    directory = setting.directory / "rapidsos-proxy"
    directory.mkdir()
    port, admin_port, traffic = find_free_port(), find_free_port(), TrafficFile(directory / "traffic.jsonl")
    config = directory / "proxy.toml"
    config.write_text(
        _CONFIG.format(
            port=port,
            admin_port=admin_port,
            token_url=setting.token_url,
            client_id=setting.authority.settings.client_id,
            upstream=setting.upstream,
            log=traffic.path,
            body_bytes=body_bytes,
            rotate_bytes=rotate_bytes,
            limits=limits,
            more=more if setting.ca is None else f'[outbound]\nca_file = "{setting.ca}"\n{more}',
        )
    )
    secret = directory / "client_secret"
    write_secret(secret, setting.authority.settings.client_secret)
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    async with running("rapidsos-proxy", command, setting.directory, core=setting.core) as process:
        proxy = OwnProxy(OWN, "full log", process, port, admin_port, traffic, secret)
        await proxy.wait_ready()
        yield proxy


def write_secret(path: Path, secret: Secret) -> None:
    """Put a secret into a file of the user's own, whole or not at all."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(secret.reveal())
    new.replace(path)
