"""The demo as people meet it: started, tried with the lines that it prints, and stopped."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.sources import environment

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")


def free_ports(count):
    """Return ports that were free a moment ago."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [str(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return numbers


@pytest.fixture
def demo(tmp_path):
    """Return a running demo and what it has printed until it listened."""
    with running_demo(tmp_path) as (process, printed):
        yield process, printed


@contextmanager
def running_demo(directory, **more):
    """Run a demo for the length of a block; give its process and what it has printed until it listened."""
    flags = ["--port", "--admin-port", "--core-port", "--edx-port"]
    ports = [part for pair in zip(flags, free_ports(4), strict=True) for part in pair]
    environ = {name: value for name, value in environment().items() if not name.lower().endswith("_proxy")} | more
    command = [sys.executable, "-m", "proxy", "demo", *ports]
    with subprocess.Popen(command, cwd=directory, env=environ, stdout=subprocess.PIPE, text=True) as process:
        printed = ""
        while "\nSee the log" not in printed:
            line = process.stdout.readline()
            assert line, f"the demo ended: {printed}"
            printed += line
        yield process, printed
        process.kill()


def run_line(line):
    """Run one of the printed lines in a shell, as it stands; return the head and the body of the answer."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=30, check=True)
    head, _, body = done.stdout.partition("\n\n")
    return head, json.loads(body)


def test_the_printed_lines_work_as_they_stand(demo, tmp_path):
    """An emergency is pushed and pulled, by each way in; every exchange is shown and logged; a signal ends it."""
    process, printed = demo
    trigger, alerts, dispatcher, location, resolved = re.findall(r"^  (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)

    alert_id = run_line(trigger)[1]["alert_id"]
    listed = run_line(alerts)[1]["alerts"]
    asked = run_line(dispatcher)[1]
    located = run_line(location)[1]
    again = run_line(resolved)[1]["alerts"]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)

    assert alert_id in {alert["alert_id"] for alert in listed}
    assert alert_id in {alert["alert_id"] for alert in again}
    assert asked["caller_id"] == located["caller_id"] == "15555550100"
    lines = re.findall(r"  (?:GET|POST) .*  -> 200  [\d.]+ ms  ok  token [0-9a-f]{12}$", rest, re.MULTILINE)
    assert len(lines) == 5
    assert process.returncode == 0
    records = [json.loads(line) for line in (tmp_path / ".demo" / "traffic.jsonl").read_text().splitlines()]
    closed = [record for record in records if record["event"] == "exchange.closed"]
    assert [record["route"] for record in closed] == ["ingress", "alerts", "dispatchers", "core-host", "edx-host"]
    assert [record["user"] for record in closed] == [None, None, "dispatcher@psap.example", None, None]


def test_the_printed_login_opens_the_admin_listener(demo):
    """With it, the tokens' state is shown; without, it is not."""
    _, printed = demo
    url, username, password = re.search(r"admin +(http://\S+) +login (\S+) / (\S+)", printed).groups()
    request = urllib.request.Request(f"{url}/api/tokens")
    request.add_header("Authorization", f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    with opener.open(request, timeout=10) as answer:
        status = answer.status
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(f"{url}/api/tokens", timeout=10)
    refused.value.close()

    assert status == 200
    assert refused.value.code == 401


def test_what_is_printed_first_is_true_already(demo):
    """Whoever copies a line at once reaches a proxy that listens: the banner comes when all is up."""
    _, printed = demo
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = re.search(r"admin +(http://\S+) ", printed)[1]

    with opener.open(f"{url}/live", timeout=10) as answer:
        status = answer.status

    assert status == 200
    assert printed.index("rapidsos-proxy demo:") < printed.index("See the log")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_nothing_behind(tmp_path, number):
    """Where the log could not be written, its temporary directory goes with it; another's stays."""
    (tmp_path / ".demo").write_text("a file in the way")
    temporary = tmp_path / "temporary"
    of_another = temporary / "rapidsos-proxy-demo-of-another"
    of_another.mkdir(parents=True)
    with running_demo(tmp_path, TMPDIR=str(temporary)) as (process, printed):
        log = Path(re.search(r"traffic log (\S+)", printed)[1])
        was_there = log.is_file()
        process.send_signal(number)
        process.communicate(timeout=30)

    assert was_there
    assert log.parent.parent == temporary
    assert list(temporary.iterdir()) == [of_another]
    assert process.returncode == 0


def test_it_goes_on_when_nobody_reads_what_it_prints(tmp_path):
    """As under `rapidsos-proxy demo | head`: no traceback, and a signal ends it in order."""
    with running_demo(tmp_path) as (process, printed):
        process.stdout.close()
        run_line(re.search(r"^  (curl -i \S+/egress.*)$", printed, re.MULTILINE)[1])
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    events = [json.loads(line)["event"] for line in (tmp_path / ".demo" / "traffic.jsonl").read_text().splitlines()]

    assert events[-1] == "log.stopped"
