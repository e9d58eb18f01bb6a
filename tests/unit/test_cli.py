"""The command line, run as people run it."""

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from proxy.config.sources import environment

PAIR = {"RAPIDSOS_CLIENT_ID": "an-id", "RAPIDSOS_CLIENT_SECRET": "c4nary-secret"}
SERVED = """
[[listener]]
name = "cad"
bind = "127.0.0.1:{port}"
[credential.core]
grant = "client_credentials"
token_url = "http://127.0.0.1:{nobody}/oauth/token"
client_id = "an-id"
client_secret = {{ env = "DEMO_SECRET" }}
[[route]]
name = "all"
upstream = "http://127.0.0.1:{nobody}"
credential = "core"
[admin]
bind = "127.0.0.1:{admin}"
"""
COMMANDS = ["serve", "demo", "check", "doctor", "token", "traffic", "ca", "simulate"]


def clean_environment(extra):
    """Return this process's environment without any setting of the proxy's own."""
    return {name: value for name, value in environment().items() if not name.startswith("RAPIDSOS_")} | extra


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a command to its end."""

    def run(*arguments, **environ):
        command = [sys.executable, "-m", "proxy", *arguments]
        env = clean_environment(environ)
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)

    return run


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a command, ours or with its program; what still runs is killed afterwards."""
    started = []

    def start(*arguments, **environ):
        command = arguments if shutil.which(arguments[0]) else [sys.executable, "-m", "proxy", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=tmp_path, env=clean_environment(environ), stdout=pipe, stderr=pipe, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def taken():
    """Return a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def wait_live(port):
    """Wait until the admin listener at a port answers."""
    for _ in range(1000):
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/live"):
                return
        except urllib.error.URLError:
            time.sleep(0.02)
    pytest.fail("it does not serve")


def wait_open(port):
    """Wait until a listener takes connections, which is the last thing that a start does."""
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", int(port))).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("it does not listen")


def free_port():
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_help_names_every_command(run):
    """The first thing that people type."""
    done = run("--help")

    assert done.returncode == 0
    assert all(re.search(rf"^ +{command} ", done.stdout, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(run, command):
    """An example teaches more than a list of flags."""
    done = run(command, "--help")

    assert done.returncode == 0
    assert f"examples:\n  rapidsos-proxy {command}" in done.stdout


def test_help_loads_no_library():
    """So that it answers at once."""
    code = "import sys, proxy.cli\ntry: proxy.cli.main(['serve', '--help'])\nexcept SystemExit: pass\n"
    code += "print('LOADED', sorted({'aiohttp', 'pydantic', 'structlog', 'asyncio'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_the_version_is_told(run):
    """In one line, for bug reports."""
    done = run("--version")

    assert done.returncode == 0
    assert re.fullmatch(r"rapidsos-proxy (\d+\.\d+\.\d+|0\+sources) \((compiled|pure Python)\)\n", done.stdout)


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["serve", "--fly"], ["demo", "--port", "0"], ["demo", "--port", "x"]]
)
def test_wrong_arguments_exit_with_2(run, arguments):
    """As every program's do."""
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: rapidsos-proxy")


@pytest.mark.parametrize(
    "command", [["serve"], ["check"], ["doctor"], ["doctor", "--json"], ["token", "status"], ["token", "refresh"]]
)
def test_a_file_alone_is_told_to_need_its_flag(run, command):
    """Other programs take it so."""
    done = run(*command, "proxy.toml")

    assert done.returncode == 2
    assert done.stderr.endswith("unrecognized arguments: proxy.toml; did you mean --config proxy.toml?\n")


@pytest.mark.parametrize("arguments", [["simulate", "x"], ["check", "--fly"], ["check", "--config", "a", "b"]])
def test_a_file_is_not_guessed_where_none_can_be_meant(run, arguments):
    """A flag, a command without a configuration, or one that has its own."""
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stderr.endswith(f"unrecognized arguments: {arguments[-1]}\n")


def test_check_describes_the_built_in_profile(run):
    """On standard output, and with no secret in it."""
    done = run("check", RAPIDSOS_ENVIRONMENT="sandbox", **PAIR)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "The built-in profile is sound.\n\nListeners\n  cad    http://127.0.0.1:8080  this machine only\n"
    )
    assert (
        "  ingress    /ingress/                  ->  https://api-sandbox.rapidsos.com  without /ingress  as core\n"
        in (done.stdout)
    )
    assert "client_secret       env RAPIDSOS_CLIENT_SECRET" in done.stdout
    assert "c4nary" not in done.stdout


def test_check_of_a_wrong_file_exits_with_2_and_says_what_is_wrong(run, tmp_path):
    """On standard error: file, key and fix."""
    path = tmp_path / "proxy.toml"
    path.write_text('[[listener]]\nname = "cad"\nbnid = "127.0.0.1:8080"\n')

    done = run("check", "--config", "proxy.toml")

    assert (done.returncode, done.stdout) == (2, "")
    assert "rapidsos-proxy: proxy.toml: 3 problems\n" in done.stderr
    assert "proxy.toml: listener[cad].bnid: is not a key of this table\n  fix: did you mean bind?\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["check"], ["doctor", "--json"], ["token", "status"]])
def test_what_a_file_holds_does_not_drive_the_terminal(run, tmp_path, command):
    """It may have come by mail."""
    (tmp_path / "proxy.toml").write_text('[admin]\nbind = "\\u009b31m\\u001b[2J\\u2028:1"\n')

    done = run(*command, "--config", "proxy.toml")

    assert done.returncode == 2
    assert not {"\x1b", "\x9b", "\u2028"} & set(done.stdout + done.stderr)
    assert r"\u009b31m\u001b[2J\u2028:1" in done.stdout + done.stderr


def test_check_refuses_a_log_that_serve_could_not_open(run, tmp_path):
    """And the store beside it; it makes neither."""
    served = SERVED.format(port=free_port(), admin=free_port(), nobody=free_port())
    places = '[traffic_log]\npath = "logs/traffic.jsonl"\n[store]\nfile = "state/tokens"\nkey = { env = "KEY" }\n'
    (tmp_path / "proxy.toml").write_text(served + places)

    done = run("check", "--config", "proxy.toml", DEMO_SECRET="c4nary-secret", KEY="A" * 43 + "=")

    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "traffic_log.path: logs/traffic.jsonl is in a directory that does not exist\n  fix: create logs" in done.stderr
    )
    assert "store.file: state/tokens is in a directory that does not exist\n  fix: create state" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["proxy.toml"]


def test_check_warns_of_a_secret_that_every_user_can_read(run, tmp_path):
    """It is sound all the same."""
    path = tmp_path / "secret"
    path.write_text("c4nary-secret\n")
    path.chmod(0o644)
    environ = {
        "RAPIDSOS_ENVIRONMENT": "sandbox",
        "RAPIDSOS_CLIENT_ID": "an-id",
        "RAPIDSOS_CLIENT_SECRET_FILE": str(path),
    }

    done = run("check", **environ)

    assert done.returncode == 0
    assert '"event":"secret.exposed"' in done.stderr
    assert str(path) in done.stderr
    assert "c4nary" not in done.stdout + done.stderr


def test_check_warns_of_secrets_that_were_pasted_with_more(run, tmp_path):
    """Once for each source; a secret may really look so, and it is sound all the same."""
    path = tmp_path / "secret"
    path.write_text("'c4nary-secret'\n")
    path.chmod(0o600)
    environ = {
        "RAPIDSOS_ENVIRONMENT": "sandbox",
        "RAPIDSOS_CLIENT_ID": "client_id=an-id",
        "RAPIDSOS_CLIENT_SECRET_FILE": str(path),
    }

    done = run("check", **environ)
    told = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.returncode == 0
    assert [(line["event"], line["source"], line["key"]) for line in told] == [
        ("secret.odd", "env RAPIDSOS_CLIENT_ID", "credential.core.client_id, credential.edx.client_id"),
        ("secret.odd", f"file {path}", "credential.core.client_secret, credential.edx.client_secret"),
    ]
    assert told[1]["problem"] == "stands in quotes, which are sent as a part of it"
    assert "put the value alone there" in told[1]["fix"]
    assert "c4nary" not in done.stdout + done.stderr


def test_serve_without_anything_says_what_to_set(run):
    """Nothing is opened, and there is no traceback."""
    done = run("serve")

    assert done.returncode == 2
    assert "RAPIDSOS_ENVIRONMENT: is not set, and has no default" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_until_a_signal(start, tmp_path, number):
    """It warns of an odd secret, serves while no token can be had, keeps standard output for the log, ends with 0."""
    port, admin, nobody = free_port(), free_port(), free_port()
    (tmp_path / "proxy.toml").write_text(SERVED.format(port=port, admin=admin, nobody=nobody))
    process = start("serve", "--config", "proxy.toml", DEMO_SECRET="c4nary-secret ")
    lines = iter(process.stderr.readline, "")
    odd = next(lines)
    assert any(line == f"listener cad: http://127.0.0.1:{port}\n" for line in lines)

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert {json.loads(line)["event"] for line in out.splitlines()} >= {"token.fetched"}
    assert '"event":"service.stopped"' in err
    assert "c4nary" not in out + odd + err
    assert '"event":"secret.odd"' in odd
    assert '"problem":"begins or ends with a space"' in odd


def test_serve_obeys_a_hangup_of_its_start_once_it_serves(start, tmp_path):
    """One that comes while a command is asked for a secret ends nothing; the command is not made deaf to its own."""
    seen = tmp_path / "seen"
    code = f"""
import os, pathlib, signal
if not os.path.exists({str(seen)!r}):
    pathlib.Path({str(seen)!r}).write_text(signal.getsignal(signal.SIGHUP).name)
    os.kill(os.getppid(), signal.SIGHUP)
print("c4nary-secret")
"""
    command = f"{{ command = {json.dumps([sys.executable, '-c', code])} }}"
    served = SERVED.format(port=free_port(), admin=free_port(), nobody=free_port())
    (tmp_path / "proxy.toml").write_text(served.replace('{ env = "DEMO_SECRET" }', command))
    process = start("serve", "--config", "proxy.toml")
    outcome = next((line for line in process.stderr if '"event":"config.' in line), "")

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert '"event":"config.reloaded"' in outcome
    assert seen.read_text() == "SIG_DFL"


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_serve_needs_nobody_to_speak_to(start, tmp_path, streams):
    """Without a standard error that can be written it serves, and its log is whole at the end."""
    port, admin, nobody = free_port(), free_port(), free_port()
    path = tmp_path / "proxy.toml"
    path.write_text(SERVED.format(port=port, admin=admin, nobody=nobody) + '[traffic_log]\npath = "traffic.jsonl"\n')
    shell = f'exec "$0" -m proxy serve --config "$1" {streams}'
    process = start("sh", "-c", shell, sys.executable, str(path), DEMO_SECRET="c4nary-secret")
    wait_open(port)

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert json.loads((tmp_path / "traffic.jsonl").read_text().splitlines()[-1])["event"] == "log.stopped"


def test_serve_refuses_to_lose_its_log(start, tmp_path):
    """Standard output is closed, and the log would go there."""
    (tmp_path / "proxy.toml").write_text(SERVED.format(port=free_port(), admin=free_port(), nobody=free_port()))
    shell = 'exec "$0" -m proxy serve --config proxy.toml >&-'
    process = start("sh", "-c", shell, sys.executable, DEMO_SECRET="c4nary-secret")

    _, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "traffic_log.path: - is standard output, which is closed\n  fix: " in err


def test_a_failure_after_the_start_leaves_the_log_whole(start, tmp_path):
    """Whatever it is: here the operator's terminal goes away as the addresses are printed."""
    path = tmp_path / "proxy.toml"
    served = SERVED.format(port=free_port(), admin=free_port(), nobody=free_port())
    path.write_text(served + '[traffic_log]\npath = "traffic.jsonl"\n')
    code = """
import asyncio, pathlib, sys
from proxy.config.load import load_config
from proxy.service import run

def break_pipe(lines):
    raise BrokenPipeError

config = load_config(pathlib.Path(sys.argv[1]), {"DEMO_SECRET": "c4nary-secret"})
asyncio.run(run(config, announce=break_pipe))
"""
    process = start(sys.executable, "-c", code, str(path))
    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "BrokenPipeError" in err
    assert json.loads((tmp_path / "traffic.jsonl").read_text().splitlines()[-1])["event"] == "log.stopped"


def test_check_and_serve_tell_of_too_few_descriptors(start, tmp_path):
    """With the fix; and the soft limit is raised as far as it goes."""
    port, admin, nobody = free_port(), free_port(), free_port()
    (tmp_path / "proxy.toml").write_text(SERVED.format(port=port, admin=admin, nobody=nobody))
    shell = 'ulimit -n 700; ulimit -Sn 300; exec "$0" -m proxy "$1" --config proxy.toml'
    check = start("sh", "-c", shell, sys.executable, "check", DEMO_SECRET="c4nary-secret")
    _, checked = check.communicate(timeout=30)
    serve = start("sh", "-c", shell, sys.executable, "serve", DEMO_SECRET="c4nary-secret")
    wait_live(admin)
    limits = resource.prlimit(serve.pid, resource.RLIMIT_NOFILE)
    serve.send_signal(signal.SIGTERM)
    _, served = serve.communicate(timeout=30)

    assert check.returncode == 0
    assert limits == (700, 700)
    for said in (checked, served):
        (line,) = (line for line in said.splitlines() if "descriptors.limited" in line)
        assert (json.loads(line)["limit"], json.loads(line)["needed"]) == (700, 11_256)
        assert "LimitNOFILE=11256" in line


def test_demo_names_the_port_that_is_taken_and_the_flag_that_moves_it(run, taken):
    """Port 8080 is often taken."""
    done = run("demo", "--port", taken)

    assert done.returncode == 2
    assert f"port {taken}: is taken\n  fix: stop what uses it, or choose another with --port PORT" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "storm"], "--scenario storm: is unknown\n  fix: write one of calm, token-down"),
        (["--token-life", "0"], "--token-life 0.0: is not a span of time"),
        (["--token-life", "nan"], "--token-life nan: is not a span of time"),
        (["--fault", "slow"], '--fault slow: is not a JSON object\n  fix: write it as \'{"where": "token"'),
        (["--fault", '{"where": "moon", "kind": "slow"}'], ": where: input should be 'token' or 'api'"),
    ],
)
def test_simulate_says_what_is_wrong_with_an_argument(run, arguments, told):
    """As configuration errors do."""
    done = run("simulate", *arguments)

    assert done.returncode == 2
    assert told in done.stderr


def test_simulate_names_the_address_that_is_taken(run, taken):
    """And does not show a traceback."""
    done = run("simulate", "--port", taken)

    assert done.returncode == 2
    assert f"127.0.0.1:{taken}: cannot be listened at (" in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_lists_its_scenarios(run):
    """Each with what to watch for."""
    done = run("simulate", "--scenario", "list")

    assert done.returncode == 0
    assert "  token-down       the token server answers 503" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_simulate_runs_until_a_signal(start, number):
    """And ends with 0."""
    process = start("simulate", "--port", free_port())
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("client_id simulator-client, client_secret ") for line in lines)
    assert next(lines) == "dispatcher (grant password): dispatcher@psap.example, password simulator-password\n"
    assert next(lines) == "LIS (grant basic): simulator-lis, password simulator-lis-password\n"

    process.send_signal(number)

    assert process.wait(10) == 0


def test_ca_init_makes_what_check_takes(run, tmp_path):
    """Its lines in a configuration are sound; a second call overwrites nothing and ends with 2."""
    made = run("ca", "init", "--dir", "ca", "--name", "PSAP North")
    again = run("ca", "init", "--dir", "ca")
    lines = [line.strip() for line in made.stdout.splitlines() if line.strip().startswith("ca_")]
    served = SERVED.format(port=8080, admin=9090, nobody=9)
    served = served.replace('bind = "127.0.0.1:8080"', 'bind = "127.0.0.1:8080"\nintercept = true')
    served = served.replace('name = "all"', 'name = "all"\nmatch = { host = "api.rapidsos.com" }')
    (tmp_path / "proxy.toml").write_text("\n".join([served, "[interception]", *lines]))
    checked = run("check", "--config", "proxy.toml", DEMO_SECRET="a-s3cret-value")

    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("Made a local authority: PSAP North\n")
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already" in again.stderr
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "https:// to api.rapidsos.com" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "https://rapidsos.com/"), "is not a host name"),
        (("--host", "a.example", "--any-host"), "not allowed with"),
        (("--years", "11"), "invalid choice"),
        (("--name", "x" * 65), "1 to 64 printable characters"),
    ],
)
def test_ca_init_tells_what_is_wrong_with_its_arguments(run, tmp_path, arguments, told):
    """And makes nothing."""
    done = run("ca", "init", *arguments)

    assert done.returncode == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []
