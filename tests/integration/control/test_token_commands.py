"""`rapidsos-proxy token status` and `token refresh` against a proxy that runs: real processes, a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from harness.program import Program, build_toml, find_free_port, running_program
from harness.tools import find_tool

from proxy.config.secret import Secret
from proxy.control.client import ControlClient, open_session
from proxy.control.server import build_control
from proxy.errors import ControlError
from proxy.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from proxy.simulator.server import Simulator

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

CANARIES = (b"simulator-secret", b"lis-c4nary")
NOBODY = 65_534


def write_config(
    path: Path,
    simulator: Simulator,
    admin: dict[str, Any] | None = None,
    *,
    secret: dict[str, Any] | None = None,
    name: str = "proxy",
) -> str:
    """Write a configuration with a bearer credential and a Basic one; return its path for the command line.

    Args:
        path: Of its directory.
        simulator: Where requests go.
        admin: The ``[admin]`` section.
        secret: Where the bearer credential's comes from.
        name: Of the file, and of what it writes.
    """
    document = {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": secret or {"env": "CORE_SECRET"},
            },
            "lis": {"grant": "basic", "username": "lis", "password": {"env": "LIS_PASSWORD"}},
        },
        "route": [
            {"name": name, "match": {"path": f"/{name}/"}, "upstream": simulator.url, "credential": name}
            for name in ("core", "lis")
        ],
        "traffic_log": {"path": f"{name}.jsonl"},
        "admin": {"bind": "127.0.0.1:0", "control": "c.sock"} if admin is None else admin,
    }
    file = path / f"{name}.toml"
    file.write_text(build_toml(document))
    return str(file)


@asynccontextmanager
async def serving(config: str, **environ: str) -> AsyncIterator[Program]:
    """Run ``serve`` for the length of a block, from when it listens."""
    secrets = {"CORE_SECRET": "simulator-secret", "LIS_PASSWORD": "lis-c4nary"}
    async with running_program("serve", "--config", config, **secrets, **environ) as program:
        await program.wait_started()
        yield program


async def ask(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run a command of ``token`` to its end, without any secret; return exit code, standard output and error."""
    async with running_program("token", *arguments, **environ) as program:
        code = await program.wait()
    assert not any(canary in program.stdout + program.stderr for canary in CANARIES)
    return code, program.stdout.decode(), program.stderr.decode()


async def ask_json(config: str) -> dict[str, dict[str, Any]]:
    """Return every credential's status, by its name."""
    _, out, _ = await ask("status", "--config", config, "--json")
    return {item["name"]: item for item in json.loads(out)["tokens"]}


async def wait_first_token(config: str) -> dict[str, Any]:
    """Wait until the first call has ended; return the credential's status."""
    while not (status := (await ask_json(config))["core"])["fingerprint"]:
        pass
    return status


async def test_status_is_a_table(tmp_path: Path, simulator: Simulator) -> None:
    """Each credential, its state, its token by the fingerprint; all usable is exit code 0."""
    config = write_config(tmp_path, simulator)
    async with serving(config):
        status = await wait_first_token(config)
        code, out, err = await ask("status", "--config", config)
    head, core, lis = out.splitlines()

    assert (code, err) == (0, "")
    assert re.split(r"  +", head) == ["CREDENTIAL", "STATE", "TOKEN", "EXPIRES IN", "NEXT CALL IN", "CLOCK SKEW"]
    pattern = rf"core +usable +{status['fingerprint']}  59 min \d+ s +\d\d min.*[+-]\d+\.\d s"
    assert re.fullmatch(pattern, core)
    assert re.split(r"  +", lis) == ["lis", "constant", "-", "-", "-", "-"]


async def test_status_of_what_is_not_usable(tmp_path: Path, simulator: Simulator) -> None:
    """Exit code 1, what went wrong, and the next step; one credential that is well can be asked for alone."""
    simulator.faults.add(Fault(where="token", kind="status", status=503))
    config = write_config(tmp_path, simulator)
    async with serving(config) as program:
        await program.wait_said(b"token.failed")
        code, out, _ = await ask("status", "--config", config)
        code_of_one, out_of_one, _ = await ask("status", "--config", config, "--credential", "lis")

    assert code == 1
    assert re.search(r"^core +NO TOKEN +- +- ", out, re.MULTILINE)
    assert re.search(r"^core: \d+ s ago: .*503.*\n  next step: If it lasts, check token_url", out, re.MULTILINE)
    assert code_of_one == 0
    assert "core" not in out_of_one


async def test_refresh_brings_a_new_token(tmp_path: Path, simulator: Simulator) -> None:
    """One call, which the lines announce and then tell of; the record says that somebody asked."""
    config = write_config(tmp_path, simulator)
    async with serving(config) as program:
        before = await wait_first_token(config)
        code, out, err = await ask("refresh", "--config", config)
        after = (await ask_json(config))["core"]
        await program.stop()
    records = [json.loads(line) for line in (tmp_path / "proxy.jsonl").read_text().splitlines()]

    assert (code, err) == (0, "")
    assert f"core: calling {simulator.url}/oauth/token; {before['fingerprint']} serves meanwhile\n" in out
    assert f"core: new token {after['fingerprint']}, expires in 59 min 5" in out
    assert "lis: has no token: its login is sent with each request\n" in out
    assert after["fingerprint"] != before["fingerprint"]
    assert [record["reason"] for record in records if record["event"] == "token.fetched"] == ["start", "asked"]
    assert b'"event":"token.refresh_asked"' in program.stderr


async def test_a_refresh_that_fails(tmp_path: Path, simulator: Simulator) -> None:
    """Exit code 1 and the next step; the old token goes on serving."""
    config = write_config(tmp_path, simulator)
    async with serving(config):
        before = await wait_first_token(config)
        simulator.faults.add(Fault(where="token", kind="status", status=503))
        code, out, _ = await ask("refresh", "--config", config, "--credential", "core")
        after = (await ask_json(config))["core"]

    assert code == 1
    assert re.search(r"^core: FAILED: .*503.* If it lasts, check token_url", out, re.MULTILINE)
    assert "lis" not in out
    assert after["usable"]
    assert after["fingerprint"] == before["fingerprint"]


async def test_a_refused_credential_is_sent_again_only_by_force(tmp_path: Path, simulator: Simulator) -> None:
    """The minute after a refusal holds for operators, unless they know better."""
    simulator.faults.add(Fault(where="token", kind="unauthorized"))
    config = write_config(tmp_path, simulator)
    async with serving(config) as program:
        await program.wait_said(b"token.refused")
        code, out, _ = await ask("refresh", "--config", config, "--credential", "core")
        calls = (await ask_json(config))["core"]["fetches"]
        simulator.faults.clear()
        code_by_force, out_by_force, _ = await ask("refresh", "--config", config, "--credential", "core", "--force")

    assert code == 1
    assert re.search(
        r"^core: not called: .*; the next may be made in \d+ s; --force calls all the same$", out, re.MULTILINE
    )
    assert calls == 1
    assert code_by_force == 0
    assert "core: new token " in out_by_force


async def test_a_refresh_has_the_secret_as_it_is_now(tmp_path: Path, simulator: Simulator) -> None:
    """One from a command is asked for first, so that no call is made with the old one."""
    secret = tmp_path / "secret"
    secret.write_text("simulator-secret")
    command = [sys.executable, "-c", f"print(open({str(secret)!r}).read(), end='')"]
    config = write_config(tmp_path, simulator, secret={"command": command})
    async with serving(config):
        await wait_first_token(config)
        secret.write_text("another-secret")
        simulator.tokens.change_client_secret(Secret("another-secret", "test"))
        code, out, _ = await ask("refresh", "--config", config, "--credential", "core")
        failures = (await ask_json(config))["core"]["failures"]

    assert code == 0
    assert "core: new token " in out
    assert failures == 0


def write_people_config(path: Path, simulator: Simulator) -> str:
    """Write a configuration where persons prove themselves, and one where clients name a user."""
    people = {
        "grant": "password",
        "token_url": f"{simulator.url}/oauth/v2/token",
        "client_id": "simulator-client",
        "client_secret": {"env": "CORE_SECRET"},
    }
    alice = {"username": "dispatcher@psap.example", "password": {"env": "ALICE"}}
    document = {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "desk": {**people, "from_client": "basic"},
            "dispatchers": {
                **people,
                "from_client": "header:X-Dispatcher",
                "clients": ["127.0.0.0/8"],
                "users": {"alice": alice},
            },
        },
        "route": [
            {"name": name, "match": {"path": f"/{name}/"}, "upstream": simulator.url, "credential": name}
            for name in ("desk", "dispatchers")
        ],
        "traffic_log": {"path": "traffic.jsonl"},
        "admin": {"bind": "127.0.0.1:0", "control": "c.sock"},
    }
    file = path / "proxy.toml"
    file.write_text(build_toml(document))
    return str(file)


async def test_where_each_dispatcher_has_a_token_there_is_none_to_refresh(tmp_path: Path, simulator: Simulator) -> None:
    """It is said so, and is no failure; a user whom clients may name has one, which is replaced."""
    config = write_people_config(tmp_path, simulator)
    async with serving(config, ALICE="simulator-password") as program:
        while not (before := (await ask_json(config))["dispatchers/alice"])["fingerprint"]:
            pass
        code, out, err = await ask("refresh", "--config", config)
        after = (await ask_json(config))["dispatchers/alice"]
        _, table, _ = await ask("status", "--config", config)
        await program.stop()

    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("desk: ")] == [
        "desk: tokens are per dispatcher; nothing to refresh"
    ]
    assert f"dispatchers/alice: new token {after['fingerprint']}, expires in " in out
    assert after["fingerprint"] != before["fingerprint"]
    assert "None" not in out + table
    assert re.search(r"^desk +per person, 0 here  - ", table, re.MULTILINE)


async def test_the_proxy_answers_for_persons_whatever_command_asks(tmp_path: Path, simulator: Simulator) -> None:
    """Also where the command is of another version, and does not know that there is nothing to refresh."""
    curl = find_tool("curl")
    config = write_people_config(tmp_path, simulator)
    async with serving(config, ALICE="simulator-password"):
        command = [curl, "-sS", "-X", "POST", "--unix-socket", str(tmp_path / "c.sock"), "http://p/tokens/desk/refresh"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=30)

    assert json.loads(done.stdout)["people"] == 0


class BrokenProxy:
    """A proxy that fails whenever it is asked."""

    def status(self) -> None:
        """Fail."""
        raise RuntimeError

    async def refresh_token(self, credential: str, *, force: bool) -> None:
        """Fail."""
        raise RuntimeError(credential, force)


async def test_a_proxy_that_fails_is_not_said_to_be_another_users(tmp_path: Path) -> None:
    """Its log is where to look; who runs the command has nothing to do with it."""
    runner = web.AppRunner(build_control(BrokenProxy(), os.geteuid()))  # type: ignore[arg-type] (that is the point)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "c.sock")).start()
    code, _, err = await ask("status", "--control", str(tmp_path / "c.sock"))
    await runner.cleanup()

    assert code == 1
    assert "fix: look at the proxy's log" in err
    assert "as root" not in err


async def test_who_asks_while_a_call_is_under_way_gets_its_outcome(tmp_path: Path, simulator: Simulator) -> None:
    """Two operators, one flight; and both are told that it takes a while."""
    config = write_config(tmp_path, simulator)
    async with serving(config):
        await wait_first_token(config)
        simulator.faults.add(Fault(where="token", kind="slow", delay_s=2.5, times=1))
        ends = await asyncio.gather(*(ask("refresh", "--config", config, "--credential", "core") for _ in range(2)))
        fetches = (await ask_json(config))["core"]["fetches"]

    assert [code for code, _, _ in ends] == [0, 0]
    assert all("still waiting for core\n" in out for _, out, _ in ends)
    assert fetches == 2


async def test_an_unknown_credential_is_an_argument_that_is_wrong(tmp_path: Path, simulator: Simulator) -> None:
    """Exit code 2, and the names there are."""
    config = write_config(tmp_path, simulator)
    async with serving(config):
        ends = [await ask(verb, "--config", config, "--credential", "edx") for verb in ("status", "refresh")]

    for code, out, err in ends:
        assert (code, out) == (2, "")
        assert "--credential edx: is no credential of the running proxy\n  fix: write one of core, lis\n" in err


@pytest.mark.parametrize("verb", ["status", "refresh"])
async def test_a_proxy_that_does_not_run_is_told(tmp_path: Path, simulator: Simulator, verb: str) -> None:
    """Exit code 1, the path, and what to do; without a traceback."""
    config = write_config(tmp_path, simulator)

    code, out, err = await ask(verb, "--config", config)

    assert (code, out) == (1, "")
    assert f"{tmp_path}/c.sock: the proxy is not running, or its control socket is another\n  fix: start it" in err
    assert "Traceback" not in err


async def test_the_socket_is_this_users_alone_and_goes_with_the_proxy(tmp_path: Path, simulator: Simulator) -> None:
    """Its path is printed at start, and by check."""
    config = write_config(tmp_path, simulator)
    path = tmp_path / "c.sock"
    async with serving(config) as program:
        mode = stat.S_IMODE(path.stat().st_mode)
        by_path = await ask("status", "--control", str(path))
        await program.stop()
    async with running_program(
        "check", "--config", config, CORE_SECRET="simulator-secret", LIS_PASSWORD="lis-c4nary"
    ) as check:
        await check.wait()

    assert mode == 0o600
    assert by_path[0] == 0
    assert f"control: {path}\n".encode() in program.stderr
    assert not path.exists()
    assert check.stdout.endswith(f"Control socket\n  {path}\n".encode())


async def test_a_killed_proxys_socket_is_replaced_and_a_live_ones_is_not(tmp_path: Path, simulator: Simulator) -> None:
    """A restart after a crash needs no cleaning up; a second proxy does not take the first one's commands."""
    config = write_config(tmp_path, simulator)
    async with serving(config) as killed:
        killed.signal(signal.SIGKILL)
        await killed.wait()
    was_left = (tmp_path / "c.sock").is_socket()
    async with serving(config):
        secrets = {"CORE_SECRET": "simulator-secret", "LIS_PASSWORD": "lis-c4nary"}
        other = write_config(tmp_path, simulator, name="other")
        async with running_program("serve", "--config", other, **secrets) as second:
            code = await second.wait()
        first = await ask("status", "--config", config, "--credential", "lis")

    assert was_left
    assert code == 2
    assert b"c.sock is the control socket of a proxy that is running\n  fix: stop that one" in second.stderr
    assert first[0] == 0


async def test_a_place_that_nobody_asked_for_is_no_reason_not_to_serve(tmp_path: Path, simulator: Simulator) -> None:
    """A read-only container has no place for the default; a warning says what to set."""
    (tmp_path / "rapidsos-proxy").write_text("a file in the way")
    config = write_config(tmp_path, simulator, {"bind": f"127.0.0.1:{find_free_port()}"})
    async with serving(config, XDG_RUNTIME_DIR=str(tmp_path)) as program:
        code = await program.stop()

    assert code == 0
    assert b'"event":"control.unavailable"' in program.stderr
    assert b"set admin.control" in program.stderr
    assert b"\ncontrol: " not in program.stderr


async def test_by_default_the_same_user_finds_it(tmp_path: Path, simulator: Simulator) -> None:
    """Whatever directory the command is given from: the place follows from user and admin listener."""
    config = write_config(tmp_path, simulator, {"bind": f"127.0.0.1:{find_free_port()}"})
    async with serving(config, XDG_RUNTIME_DIR=str(tmp_path)):
        code, _, err = await ask("status", "--config", config, "--credential", "lis", XDG_RUNTIME_DIR=str(tmp_path))

    assert (code, err) == (0, "")


@pytest.fixture
def open_place() -> Iterator[str]:
    """Return a path for a socket that every user of this machine can reach."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield f"{directory}/c.sock"


async def test_another_user_is_refused_even_where_the_mode_lets_him_in(healthy_proxy: Any, open_place: str) -> None:
    """The kernel tells who asks."""
    curl = find_tool("curl")
    # As root, another user asks; as anybody else, the proxy is another's.
    is_root = os.geteuid() == 0
    runner = web.AppRunner(build_control(healthy_proxy, 0 if is_root else os.geteuid() + 1))
    await runner.setup()
    await web.UnixSite(runner, open_place).start()
    os.chmod(open_place, 0o666)  # noqa: PTH101 (the path is a text)
    command = [curl, "--silent", "--unix-socket", open_place, "http://proxy/tokens"]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, check=True, timeout=30, user=NOBODY if is_root else None
    )
    await runner.cleanup()

    assert json.loads(done.stdout)["status"] == 403
    assert b"fingerprint" not in done.stdout


@asynccontextmanager
async def answering(proxy: Any, path: str) -> AsyncIterator[None]:
    """Answer for a proxy at a control socket for the length of a block."""
    runner = web.AppRunner(build_control(proxy, os.geteuid()))
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def test_whoever_answers_must_be_believed(healthy_proxy: Any, tmp_path: Path) -> None:
    """The kernel tells that as well; of a stranger's answer nothing is read."""
    path, me = tmp_path / "c.sock", os.geteuid()
    async with (
        answering(healthy_proxy, str(path)),
        open_session(path, frozenset({me})) as believing,
        open_session(path, frozenset({me + 1})) as doubting,
    ):
        statuses = await ControlClient(path, believing).statuses()
        with pytest.raises(ControlError, match=f"a process of another user, number {me}, answers there"):
            await ControlClient(path, doubting).statuses()

    assert [status.name for status in statuses] == ["core"]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
async def test_no_answer_speaks_to_the_terminal(healthy_proxy: Any, tmp_path: Path, as_json: tuple[str, ...]) -> None:
    """Whatever a proxy of another version, or something else at its socket, may say."""
    healthy_proxy.change_credential(
        usable=False, last_error="\x1b[2Jrun: curl evil", last_error_ago_s=1.0, next_step="\x9b1m\u202e\r\nx"
    )
    path = tmp_path / "c.sock"
    async with answering(healthy_proxy, str(path)):
        code, out, err = await ask("status", "--control", str(path), *as_json)

    assert (code, err) == (1, "")
    assert "u001b[2Jrun: curl evil" in out
    assert re.search(r"u009b1m\\+u202e\\+u000d\\+u000ax", out)
    assert all(line.isprintable() for line in out.splitlines())
