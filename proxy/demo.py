"""The demo: the proxy against a RapidSOS on this machine, requests to try, and a line for each exchange.

The rule of this file: it runs what `serve` runs, with the configuration that stands in config/demo.toml; only ports,
log file and admin password are set here.
"""

from __future__ import annotations

import secrets
import shlex
import socket
import time
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

from proxy.config.document import read_document
from proxy.config.load import build_config
from proxy.config.problems import Problems
from proxy.config.secret import Secret
from proxy.errors import ConfigError
from proxy.exchange import OK
from proxy.lock import FileLock
from proxy.printable import escape_unprintable
from proxy.program import PROGRAM
from proxy.service import run
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings
from proxy.simulator.world import SEEDED_CALLER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.config.models import Config
    from proxy.control.place import Place
    from proxy.exchange import Exchange
    from proxy.tokens.token import TokenFetch

HOST = "127.0.0.1"
SECRET_VARIABLE = "RAPIDSOS_DEMO_SECRET"  # noqa: S105 (the name of a variable) # nosec B105
ADMIN_VARIABLE = "RAPIDSOS_DEMO_ADMIN_PASSWORD"
LOG_DIRECTORY = ".demo"
LOG_FILE = "traffic.jsonl"
TEMPORARY_PREFIX = "rapidsos-proxy-demo-"

_PLACES = (Path(__file__).with_name("demo.toml"), Path(__file__).parent.parent / "config" / "demo.toml")
"""In an installed wheel; in a source tree."""
_GREEN, _YELLOW, _RED, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo listens; each has a flag of the command line."""

    proxy: int
    admin: int
    core: int
    edx: int


FILE_PORTS = Ports(proxy=8080, admin=9090, core=9911, edx=9912)
"""Those of config/demo.toml."""
_FLAGS = {"proxy": "--port", "admin": "--admin-port", "core": "--core-port", "edx": "--edx-port"}


class ExchangeLines:
    """An observer that shows one line for each exchange, and one for each token call."""

    def __init__(self, show: Callable[[str], None], *, coloured: bool) -> None:
        """Show lines by ``show``."""
        self._show = show
        self._coloured = coloured

    def exchange_closed(self, exchange: Exchange) -> None:
        """Show time, client, request, answer, milliseconds, outcome and token."""
        request, response = exchange.request, exchange.response
        status = response.status if response is not None else 0
        token = exchange.attempts[-1].fingerprint if exchange.attempts else None
        parts = [
            time.strftime("%H:%M:%S", time.localtime(exchange.started_at)),
            exchange.client,
            f"{request.method} {request.target}" if request is not None else "(no request)",
            f"-> {status or 'no answer'}",
            f"{(exchange.ended - exchange.started) * 1000:.1f} ms",
            exchange.outcome if exchange.error is None else f"{exchange.outcome} ({exchange.error.slug})",
            f"token {token}" if token else "no token",
        ]
        self._write("  ".join(parts), _choose_colour(exchange.outcome, status))

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Show which credential asked, why, and how it ended."""
        got = f"token {fetch.fingerprint} for {fetch.life_s:.0f} s" if fetch.life_s is not None else fetch.detail
        whose = f"{fetch.credential} for {fetch.user}" if fetch.user is not None else fetch.credential
        line = f"{time.strftime('%H:%M:%S')}  {whose}: token call ({fetch.reason}) {fetch.outcome}  {got}"
        self._write(line, _GREEN if fetch.life_s is not None else _RED)

    def _write(self, line: str, colour: str) -> None:
        line = escape_unprintable(line)
        self._show(f"{colour}{line}{_PLAIN}" if self._coloured else line)


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything that is decided before the first socket is open.

    Attributes:
        secret: What the simulators take as client secret, new at each start.
        password: Login of the admin listener.
        program: How this program is called from a shell.
    """

    ports: Ports
    config: Config
    secret: Secret
    password: Secret
    program: str

    @property
    def log_path(self) -> str:
        """The file that the traffic log goes to."""
        return self.config.traffic_log.path


@contextmanager
def prepare_demo(ports: Ports, directory: Path, program: str = PROGRAM) -> Iterator[Demo]:
    """Check the ports, choose the log's place, and load the configuration, for the length of a block.

    The log goes under ``directory``; where that cannot be written, or has another demo's, to a temporary one that is
    removed at the end.  ``program`` is how the lines to copy call it.

    Raises:
        ConfigError: If a port is taken.
    """
    _check_free(ports)
    secret = Secret(secrets.token_urlsafe(24), "made at start")
    password = Secret(secrets.token_urlsafe(12), "made at start")
    environ = {SECRET_VARIABLE: secret.reveal(), ADMIN_VARIABLE: password.reveal()}
    with ExitStack() as stack:
        place = _find_place(directory) or Path(stack.enter_context(TemporaryDirectory(prefix=TEMPORARY_PREFIX)))
        yield Demo(ports, load_demo(ports, place / LOG_FILE, environ), secret, password, program)


async def run_demo(demo: Demo, out: TextIO, *, coloured: bool, control: Place | None) -> int:
    """Run until a signal; returns the exit code.

    Args:
        demo: As prepared.
        out: Gets, once all is up, what is running and what to try; then the exchanges.
        coloured: Whether ``out`` is a terminal that wants colours.
        control: Where commands ask; None: nowhere.
    """

    def show(line: str) -> None:
        with suppress(OSError, ValueError):  # whoever read it has gone, as of `demo | head`; ValueError: it was closed
            print(line, file=out, flush=True)

    async with AsyncExitStack() as stack:
        await _start_simulators(stack, demo)
        lines = ExchangeLines(show, coloured=coloured)
        return await run(demo.config, announce=lambda _: show(build_banner(demo)), observers=[lines], control=control)


async def _start_simulators(stack: AsyncExitStack, demo: Demo) -> None:
    """Start both hosts over one world, so that what is pushed into one can be pulled from the other."""
    core = Simulator(SimulatorSettings(family="core", client_secret=demo.secret))
    edx = Simulator(SimulatorSettings(family="edx", client_secret=demo.secret), world=core.world)
    for simulator, port in ((core, demo.ports.core), (edx, demo.ports.edx)):
        await simulator.start(HOST, port)
        stack.push_async_callback(simulator.stop)


def load_demo(ports: Ports, log_path: Path, environ: Mapping[str, str]) -> Config:
    """Load config/demo.toml, moved to ``ports``, with its log in a file."""
    path = _find_file()
    document = read_document(path)
    document["listener"][0]["bind"] = f"{HOST}:{ports.proxy}"
    document["admin"] = {"bind": f"{HOST}:{ports.admin}", "password": {"env": ADMIN_VARIABLE}}
    document["traffic_log"] = {"path": str(log_path)}
    for item, key in [
        *((credential, "token_url") for credential in document["credential"].values()),
        *((route, "upstream") for route in document["route"]),
    ]:
        item[key] = _move(item[key], ports)
    return build_config(document, Problems(str(path)), path.parent, environ)


def _move(url: str, ports: Ports) -> str:
    """Return a URL of the file as it is at other ports."""
    parts = urlsplit(url)
    port = ports.core if parts.port == FILE_PORTS.core else ports.edx
    return parts._replace(netloc=f"{HOST}:{port}").geturl()


def build_banner(demo: Demo) -> str:
    """Build what the terminal shows first: what runs where, and requests that work as they stand."""
    ports = demo.ports
    base = f"http://{HOST}:{ports.proxy}"
    known = SimulatorSettings()
    trigger = (
        '{"callflow": "demo", "variables": {"user": {"full_name": "Ada Example", "phone_number": "+15555550142"}, '
        '"location": {"latitude": 40.7411, "longitude": -73.9897, "uncertainty": 12}}}'
    )
    return f"""\
rapidsos-proxy demo: no credentials needed, and nothing leaves this machine.

  proxy       {base}
  admin       http://{HOST}:{ports.admin}   login {demo.config.admin.username} / {demo.password.reveal()}
  RapidSOS    http://{HOST}:{ports.core} (core API) and http://{HOST}:{ports.edx} (alerts), both simulated
  logins      {known.username} / {known.password.reveal()} (a dispatcher's)
              {known.basic_username} / {known.basic_password.reveal()} (LIS)
  traffic log {demo.log_path}

Try in another terminal; none of these knows a token.

Push an emergency (ingress):
  curl -i {base}/ingress/v1/rem/trigger -H 'Content-Type: application/json' \\
    -d '{trigger}'

Fetch the alerts (egress):
  curl -i '{base}/egress/v1/alerts?limit=10'

Ask as a dispatcher whose CAD can only send a login: it becomes his own token (grant password).
  curl -i -u '{known.username}:{known.password.reveal()}' \\
    '{base}/dispatcher/v1/location?caller_id={SEEDED_CALLER}'

Ask where a caller is, as a client that only knows http_proxy:
  curl -i -x {base} 'http://api-sandbox.rapidsos.com/v1/location?caller_id={SEEDED_CALLER}'

And as one that was pointed here by DNS:
  curl -i --resolve edx-sandbox.rapidsos.com:{ports.proxy}:{HOST} http://edx-sandbox.rapidsos.com:{ports.proxy}/v1/alerts

{_build_doctor_lines(demo)}See the log, and stop with Ctrl-C:
  tail -f {shlex.quote(demo.log_path)}
"""


def _build_doctor_lines(demo: Demo) -> str:
    """Build the call of the doctor, where the file says what runs; the secret is good for these simulators alone."""
    if demo.ports != FILE_PORTS:
        return ""
    path = _find_file()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    command = f"{demo.program} doctor --config {shlex.quote(str(shown))}"
    return f"See that every link on the way holds:\n  {SECRET_VARIABLE}={demo.secret.reveal()} {command}\n\n"


def _find_file() -> Path:
    return next(place for place in _PLACES if place.is_file())


def _check_free(ports: Ports) -> None:
    """Find a taken port before anything has started, and say which flag moves it."""
    seen: set[int] = set()
    for name, flag in _FLAGS.items():
        port = getattr(ports, name)
        if port in seen or not _is_free(port):
            where = f"port {port}"
            raise ConfigError(where, "is taken", f"stop what uses it, or choose another with {flag} PORT")
        seen.add(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as asyncio does: what is closing is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _find_place(directory: Path) -> Path | None:
    """Return the directory for the log under ``directory``; None where it cannot be written, or another demo does."""
    place = directory / LOG_DIRECTORY
    lock = FileLock(place / LOG_FILE)
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        lock.take()
    except OSError:
        return None
    lock.release()  # for the log that is about to take it
    return place


def _choose_colour(outcome: str, status: int) -> str:
    if outcome != OK or status >= _SERVER_ERROR:
        return _RED
    return _YELLOW if status >= _CLIENT_ERROR else _GREEN
