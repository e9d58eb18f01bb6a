"""The command line: serve, demo, check, reload, doctor, token, traffic, ca, simulate.

The rule of this file: it reads arguments and says how it ended, and no more.  What a command needs is imported when
that command runs, so that ``--help`` answers at once and ``check`` opens no socket.  Exit codes: 0 done, or drained
after a signal; 1 failed, or records were lost at the stop; 2 configuration or arguments.
"""
# ruff: noqa: PLC0415 (imports inside commands are the rule of this file)

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.audit import usage as audit_usage
from proxy.ca import usage as ca_usage
from proxy.control import usage
from proxy.errors import ConfigError, ControlError
from proxy.printable import escape_unprintable
from proxy.program import PROGRAM, name_program
from proxy.version import describe_version

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Coroutine, Sequence

    from proxy.config.models import Admin, Config
    from proxy.control.place import Place
    from proxy.logs import SecretMask

DONE = 0
FAILED = 1
CONFIGURATION = 2
MOST_CA_YEARS = 10
"""A certificate that nobody remembers making is one that nobody replaces."""
CA_HOSTS = ("rapidsos.com",)
NOT_TAKEN = object()
"""Stands for the configuration of a command that has none."""

_ABOUT = """\
An authenticating forward proxy between legacy 911 systems and RapidSOS.

Clients speak plain HTTP to it and know nothing of OAuth; it obtains short-lived tokens, adds them to every request,
forwards it to RapidSOS over TLS, and writes every exchange to a log."""
_ABOUT_END = """\
try it, without any credentials:
  rapidsos-proxy demo

`rapidsos-proxy COMMAND --help` says more about each."""

_SERVE = """\
Run the proxy until it is told to stop.  SIGTERM or SIGINT drains: no new connections, what is under way finishes,
the log is written to its end, exit code 0; 1 if records of it are lost, which `log.lost` then counts.  A second signal
stops at once.  SIGHUP reloads the configuration, as `rapidsos-proxy reload` does: see there.

Without a file, the built-in profile serves 127.0.0.1:8080 from these environment variables:
  RAPIDSOS_ENVIRONMENT       sandbox or production
  RAPIDSOS_CLIENT_ID         or RAPIDSOS_CLIENT_ID_FILE
  RAPIDSOS_CLIENT_SECRET     or RAPIDSOS_CLIENT_SECRET_FILE
  RAPIDSOS_EDX_CLIENT_ID, RAPIDSOS_EDX_CLIENT_SECRET
                             where the alerts host has its own pair"""
_SERVE_END = """\
examples:
  rapidsos-proxy serve --config /etc/rapidsos-proxy/proxy.toml
  RAPIDSOS_ENVIRONMENT=sandbox RAPIDSOS_CLIENT_ID=… RAPIDSOS_CLIENT_SECRET_FILE=/run/secrets/rapidsos \\
    rapidsos-proxy serve"""

_CHECK = """\
Say what is wrong with a configuration, all of it at once, with file, key and fix; or, when nothing is, what it will
do: listeners, routes in order, where each secret comes from, what the traffic log holds, and which hosts will be
dialled.  Secrets are read, to see that they are there, and never shown.  The directories of the traffic log and the
token store are looked at, so run it as the proxy's user.  Nothing is dialled, and nothing is created.

Two mistakes hide others until they are corrected: a line that is not TOML hides the rest of the file, and a value that
cannot be read hides what else is wrong in its table, names and ports excepted."""
_CHECK_END = """\
examples:
  rapidsos-proxy check --config proxy.toml
  rapidsos-proxy check      # the built-in profile, from the variables that `serve --help` names

exit code 0: sound.  2: not."""

_DOCTOR = """\
Look at every link of the way to RapidSOS, and name the broken one: the configuration and its secrets, this machine's
ports, the corporate proxy, and for each host DNS, TCP, TLS, the token call, one question to the API, and the clock.
Each line says ok, warning, FAILED or skipped, with the fix; the last one says whose the broken link is.  It takes less
than ten seconds, whatever hangs.

It asks for one token for each credential, or for each user whom clients may name, and sends RapidSOS one question that
changes nothing; it never sends anything to ingress.  Where dispatchers send logins of their own, it shows the token
server the client's key alone, without a login.  What only a login could try is `skipped`, and named at the end.

No secret, token or user name is printed, and of a client id only the ends: the report may be shown to a vendor.  It
does name hosts, addresses, routes, and the files that secrets are in."""
_DOCTOR_END = """\
examples:
  rapidsos-proxy doctor --config proxy.toml
  rapidsos-proxy doctor      # the built-in profile, from the variables that `serve --help` names
  rapidsos-proxy doctor --config proxy.toml --json      # for programs: findings, and `broken`

exit code 0: every link that could be tried holds.  1: one is broken.  2: the configuration cannot be used."""

_DEMO = """\
Run the proxy against a RapidSOS that lives on this machine: no credentials, nothing leaves it.  Prints requests to
try in another terminal, and one line for each exchange as it closes."""
_DEMO_END = """\
examples:
  rapidsos-proxy demo
  rapidsos-proxy demo --port 8081 --admin-port 9091      # where 8080 and 9090 are taken"""

_SIMULATE = """\
Run RapidSOS in a box: token server, ingress, egress and alerts, with switchable faults.  Point a proxy at it, to
rehearse a bad day without a contract.  Its client id and secret are printed at start, and the logins of a dispatcher
and of LIS."""
_SIMULATE_END = """\
examples:
  rapidsos-proxy simulate --family core --port 9911
  rapidsos-proxy simulate --scenario token-down
  rapidsos-proxy simulate --token-life 20 --fault '{"where": "token", "kind": "slow", "delay_s": 5}'

While it runs:
  curl http://127.0.0.1:9911/_simulator                            # what it has seen
  curl http://127.0.0.1:9911/_simulator/faults -d '{"where": "api", "kind": "status", "status": 503}'
  curl http://127.0.0.1:9911/_simulator/faults -X DELETE           # well again
  curl http://127.0.0.1:9911/_simulator/secret -d '{"client_secret": "another"}'  # the old one is refused then"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: None takes the process's own.

    Returns:
        The exit code.
    """
    parsed = _parse(arguments)
    from proxy.descriptors import hold_standard_streams

    hold_standard_streams()
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except ConfigError as error:
        _tell(f"{PROGRAM}: {error}")
        return CONFIGURATION
    except ControlError as error:
        _tell(f"{PROGRAM}: {error}")
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _build_parser()
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_guess_config(parsed, unknown)}")
    return parsed


def _guess_config(parsed: argparse.Namespace, unknown: Sequence[str]) -> str:
    """Say what is likely to be meant by a file alone: other programs take it so."""
    takes_one = getattr(parsed, "config", NOT_TAKEN) is None
    file = next((word for word in unknown if not word.startswith("-")), None)
    return f"; did you mean --config {file}?" if takes_one and file is not None else ""


def _build_parser() -> argparse.ArgumentParser:
    parser = _describe(argparse.ArgumentParser(prog=PROGRAM), _ABOUT, _ABOUT_END)
    parser.add_argument("--version", action="version", version=f"%(prog)s {describe_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands.add_parser("serve", help="run the proxy"))
    _add_demo(commands.add_parser("demo", help="run it against a simulated RapidSOS"))
    _add_check(commands.add_parser("check", help="validate a configuration and print what it does"))
    _add_reload(commands.add_parser("reload", help="have the running proxy read its configuration again"))
    _add_doctor(commands.add_parser("doctor", help="name the broken link between here and RapidSOS"))
    _add_token(commands.add_parser("token", help="ask the running proxy for its tokens' state, or for new ones"))
    _add_traffic(commands.add_parser("traffic", help="verify the traffic log that the proxy has sealed"))
    _add_ca(commands.add_parser("ca", help="make a local authority, for clients that speak https through a proxy"))
    _add_simulate(commands.add_parser("simulate", help="run the simulated RapidSOS alone"))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _describe(parser, _SERVE, _SERVE_END).set_defaults(command=_serve)
    _add_config(parser)
    _add_verbose(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _describe(parser, _DEMO, _DEMO_END).set_defaults(command=_demo)
    _add_port(parser, "--port", 8080, "of the proxy")
    _add_port(parser, "--admin-port", 9090, "of the admin listener")
    _add_port(parser, "--core-port", 9911, "of the simulated core API")
    _add_port(parser, "--edx-port", 9912, "of the simulated alerts host")
    _add_verbose(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _describe(parser, _CHECK, _CHECK_END).set_defaults(command=_check)
    _add_config(parser)


def _add_reload(parser: argparse.ArgumentParser) -> None:
    _describe(parser, usage.RELOAD, usage.RELOAD_END).set_defaults(command=_reload)
    _add_config(parser)
    _add_control(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _describe(parser, _DOCTOR, _DOCTOR_END).set_defaults(command=_doctor)
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")


def _add_token(parser: argparse.ArgumentParser) -> None:
    commands = _describe(parser, usage.ASK, usage.ASK_END).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    status = commands.add_parser("status", help="show how each credential stands")
    _describe(status, usage.STATUS, usage.STATUS_END).set_defaults(command=_token_status)
    status.add_argument("--json", action="store_true", help="one JSON object, for programs")
    refresh = commands.add_parser("refresh", help="fetch new tokens now")
    _describe(refresh, usage.REFRESH, usage.REFRESH_END).set_defaults(command=_token_refresh)
    refresh.add_argument("--force", action="store_true", help="in spite of what the last outcome forbids")
    for command in (status, refresh):
        _add_config(command)
        _add_control(command)
        command.add_argument(
            "--credential", metavar="NAME", action="append", default=[], help="this one alone; may be given again"
        )


def _add_traffic(parser: argparse.ArgumentParser) -> None:
    commands = _describe(parser, audit_usage.TRAFFIC, audit_usage.TRAFFIC_END).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    verify = commands.add_parser("verify", help="name the first line that was changed, inserted, moved or lost")
    _describe(verify, audit_usage.VERIFY, audit_usage.VERIFY_END).set_defaults(command=_traffic_verify)
    add = verify.add_argument
    add("files", metavar="FILE", nargs="*", type=Path, help="of the log (default: all of the log that --config names)")
    add("--config", metavar="FILE", type=Path, help="TOML file that the proxy runs with: names the key, and the log")
    add(
        "--key-file",
        metavar="FILE",
        action="append",
        type=Path,
        default=[],
        help="a key; more than one: in the order of use",
    )


def _add_ca(parser: argparse.ArgumentParser) -> None:
    commands = _describe(parser, ca_usage.CA, ca_usage.CA_END).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    init = commands.add_parser("init", help="make a certificate and its key")
    _describe(init, ca_usage.INIT, ca_usage.INIT_END).set_defaults(command=_ca_init)
    add, years = init.add_argument, range(1, MOST_CA_YEARS + 1)
    add("--dir", metavar="DIR", type=Path, default=Path(), help="where to write them (default: here)")
    add(
        "--name",
        metavar="NAME",
        type=_parse_ca_name,
        help="as trust stores show it (default: with this machine's)",
    )
    hosts = init.add_mutually_exclusive_group()
    hosts.add_argument(
        "--host", metavar="HOST", action="append", type=_parse_host, help="that it vouches for; may be given again"
    )
    hosts.add_argument("--any-host", action="store_true", help="do not limit it to some hosts")
    add(
        "--years",
        metavar="N",
        type=int,
        choices=years,
        default=MOST_CA_YEARS,
        help="life (default: %(default)s, the most)",
    )


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    _describe(parser, _SIMULATE, _SIMULATE_END).set_defaults(command=_simulate)
    _add_port(parser, "--port", 9911, "of the simulator")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--family", choices=["core", "edx", "both"], default="both", help="which hosts (default: %(default)s)")
    add("--token-life", metavar="SECONDS", type=float, default=3599.0, help="of each token (default: %(default)s)")
    add("--scenario", metavar="NAME", default="calm", help="a bad day with a name; `list` prints them all")
    add("--fault", metavar="JSON", action="append", default=[], help="one more fault; may be given again")
    _add_verbose(parser)


def _describe(parser: argparse.ArgumentParser, about: str, end: str) -> argparse.ArgumentParser:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = about
    parser.epilog = end
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="TOML file; config/proxy.toml shows every key (default: none, the built-in profile)",
    )


def _add_control(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--control", metavar="PATH", type=Path, help="the control socket that the proxy printed at its start"
    )


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="say more on standard error; never a secret")


def _add_port(parser: argparse.ArgumentParser, name: str, default: int, what: str) -> None:
    parser.add_argument(
        name, metavar="PORT", type=_parse_port, default=default, help=f"port {what} (default: {default})"
    )


def _parse_port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= port <= 65_535:  # noqa: PLR2004 (the range of ports)
        message = f"{text} is not a port, 1 to 65535"
        raise argparse.ArgumentTypeError(message)
    return port


def _parse_host(text: str) -> str:
    from proxy.config.units import UnitError, parse_host_name

    try:
        return parse_host_name(text)
    except UnitError as error:
        message = f"{error.problem}; {error.fix}"
        raise argparse.ArgumentTypeError(message) from None


def _parse_ca_name(text: str) -> str:
    from proxy.ca.issuing import LONGEST_COMMON_NAME

    if 1 <= len(text) <= LONGEST_COMMON_NAME and text.isprintable():
        return text
    message = f"a name has 1 to {LONGEST_COMMON_NAME} printable characters"
    raise argparse.ArgumentTypeError(message)


def _serve(arguments: argparse.Namespace) -> int:
    from proxy.hangup import EarlyHangup

    EarlyHangup()
    mask = _set_up_logs("DEBUG" if arguments.verbose else "INFO")
    from proxy.config.load import load_config
    from proxy.config.sources import environment
    from proxy.service import run
    from proxy.traffic.log import STANDARD_OUTPUT, find_secrets

    config = load_config(arguments.config, environment())
    if sys.stdout is None and config.traffic_log.path == STANDARD_OUTPUT:
        where = "traffic_log.path"
        raise ConfigError(where, "- is standard output, which is closed", "leave it open, or set a file")
    mask.use(find_secrets(config))
    return _run(
        run(
            config,
            announce=lambda lines: _tell("\n".join(lines)),
            learn=mask.use,
            control=_find_place(config.admin),
            load=lambda: _load_checked(arguments.config),
        )
    )


def _demo(arguments: argparse.Namespace) -> int:
    _set_up_logs("DEBUG" if arguments.verbose else "WARNING")
    import shutil
    import signal

    from proxy.config.sources import environment
    from proxy.demo import Ports, prepare_demo, run_demo

    ports = Ports(proxy=arguments.port, admin=arguments.admin_port, core=arguments.core_port, edx=arguments.edx_port)
    coloured = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in environment()
    # Until the loop takes signals, and when it is gone: what was made for the demo is removed all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED))
    program = name_program(sys.argv[0], shutil.which(PROGRAM, path=environment().get("PATH")), Path.cwd())
    with prepare_demo(ports, Path.cwd(), program) as demo:
        control = _find_place(demo.config.admin)
        return _run(run_demo(demo, sys.stdout, coloured=coloured, control=control))


def _check(arguments: argparse.Namespace) -> int:
    _set_up_logs("WARNING")
    import time

    from proxy.config.describe import describe
    from proxy.descriptors import allow_descriptors, count_descriptors

    config = _load_checked(arguments.config)
    allow_descriptors(count_descriptors(config))
    place = _find_place(config.admin)
    control = f"\n\nControl socket\n  {place.path}" if place is not None else ""
    _answer(f"{arguments.config or 'The built-in profile'} is sound.\n\n{describe(config, time.time())}{control}")
    return DONE


def _load_checked(path: Path | None) -> Config:
    """Load a configuration that is about to be used, or is asked after: also what it writes to is looked at."""
    from proxy.config.directories import check_directories
    from proxy.config.load import load_config
    from proxy.config.problems import Problems
    from proxy.config.sources import environment

    config = load_config(path, environment())
    problems = Problems(str(path or "The built-in profile"))
    check_directories(config, problems)
    problems.raise_any()
    return config


def _reload(arguments: argparse.Namespace) -> int:
    from proxy.control.reload import reload

    return _run(reload(_find_control(arguments), _answer))


def _doctor(arguments: argparse.Namespace) -> int:
    _set_up_logs("ERROR")
    from proxy.config.load import load_config
    from proxy.config.sources import environment
    from proxy.doctor.command import doctor, report_config_error

    try:
        config = load_config(arguments.config, environment())
    except ConfigError as error:
        if not arguments.json:
            raise
        return report_config_error(error, arguments.config, sys.stdout)
    return _run(doctor(config, arguments.config, sys.stdout, as_json=arguments.json))


def _token_status(arguments: argparse.Namespace) -> int:
    from proxy.control.token import show_status

    place = _find_control(arguments)
    return _run(show_status(place, arguments.credential, _answer, as_json=arguments.json))


def _token_refresh(arguments: argparse.Namespace) -> int:
    from proxy.control.token import refresh_tokens

    place = _find_control(arguments)
    return _run(refresh_tokens(place, arguments.credential, _answer, force=arguments.force))


def _traffic_verify(arguments: argparse.Namespace) -> int:
    _set_up_logs("WARNING")
    from proxy.audit.command import verify
    from proxy.audit.progress import Progress
    from proxy.config.sources import environment

    progress = Progress(sys.stderr)
    return verify(arguments.files, arguments.config, arguments.key_file, environment(), _answer, progress)


def _ca_init(arguments: argparse.Namespace) -> int:
    import socket
    import time

    from proxy.ca.founding import describe_founded, found_authority
    from proxy.ca.issuing import LONGEST_COMMON_NAME

    name = arguments.name or f"RapidSOS proxy on {socket.gethostname()}"[:LONGEST_COMMON_NAME]
    hosts = () if arguments.any_host else tuple(arguments.host or CA_HOSTS)
    _answer(describe_founded(found_authority(arguments.dir, name, hosts, time.time(), arguments.years)))
    return DONE


def _find_control(arguments: argparse.Namespace) -> Place:
    """Return where the control socket is of the proxy that the command line means."""
    _set_up_logs("WARNING")
    from proxy.config.load import load_admin
    from proxy.control.place import Place

    if arguments.control is not None:
        return Place(arguments.control, is_configured=True)
    place = _find_place(load_admin(arguments.config))
    if place is None:
        where = "admin.control"
        raise ConfigError(where, "is not set, and there is no place to look at by default", "set it, or use --control")
    return place


def _find_place(admin: Admin) -> Place | None:
    import os

    from proxy.config.sources import environment
    from proxy.control.place import find_place

    return find_place(admin, environment(), os.geteuid()) if hasattr(os, "geteuid") else None


def _simulate(arguments: argparse.Namespace) -> int:
    from proxy.simulate import Arguments, build_settings, describe_scenarios, simulate

    if arguments.scenario == "list":
        _answer(describe_scenarios())
        return DONE
    _set_up_logs("DEBUG" if arguments.verbose else "INFO")
    given = Arguments(arguments.family, arguments.token_life, arguments.scenario, tuple(arguments.fault))
    return _run(simulate(build_settings(given), arguments.host, arguments.port, _tell))


def _run(main: Coroutine[Any, Any, int]) -> int:
    import asyncio

    with asyncio.Runner(loop_factory=_find_loop()) as runner:
        return runner.run(main)


def _find_loop() -> Callable[[], AbstractEventLoop] | None:
    """Return uvloop's loop where there is one, since it takes 10 to 15 % less CPU; None is asyncio's own."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


def _set_up_logs(level: str) -> SecretMask:
    import logging

    from proxy.logs import set_up_logs

    return set_up_logs(sys.stderr, logging.getLevelNamesMapping()[level])


def _answer(text: str) -> None:
    """Give what was asked for, on standard output."""
    print(escape_unprintable(text, keep="\n"), flush=True)  # noqa: T201 (the answer)


def _tell(message: str) -> None:
    """Speak to the operator: standard output is the traffic log's.  The proxy serves even if nobody can hear it."""
    message = escape_unprintable(message, keep="\n")
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
        print(message, file=sys.stderr, flush=True)  # noqa: T201 (operational messages are this module's to print)
