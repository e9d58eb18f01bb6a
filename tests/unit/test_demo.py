"""The demo's parts: its configuration, and the lines that it shows."""

import dataclasses
import re
import socket
import stat
import tomllib
from pathlib import Path

import pytest
from harness.exchanges import build_attempt, build_exchange

from proxy.demo import FILE_PORTS, TEMPORARY_PREFIX, ExchangeLines, Ports, build_banner, prepare_demo
from proxy.errors import ConfigError, NoRoute
from proxy.exchange import REFUSED
from proxy.http.fields import build_section
from proxy.http.head import RequestHead, ResponseHead
from proxy.lock import FileLock
from proxy.tokens.token import TokenFetch

FINGERPRINT = "0123456789ab"


@pytest.fixture
def ports():
    """Return four ports that were free a moment ago."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    numbers = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return Ports(*numbers)


@pytest.fixture
def exchange():
    """Return an exchange that went well."""
    request = RequestHead(1, build_section([]), 60, "GET", "/egress/v1/alerts")
    response = ResponseHead(1, build_section([]), 40, 200, "OK")
    attempt = build_attempt("http://127.0.0.1:9912/v1/alerts", fingerprint=FINGERPRINT, status=200)
    return build_exchange(10.0, request=request, response=response, attempts=[attempt], ended=10.0123)


def shown(exchange, *, coloured=False):
    """Return the line of an exchange."""
    lines = []
    ExchangeLines(lines.append, coloured=coloured).exchange_closed(exchange)
    (line,) = lines
    return line


def test_an_exchange_is_one_line(exchange):
    """Time, client, request, answer, milliseconds, outcome, token."""
    line = shown(exchange)

    told = "127.0.0.1  GET /egress/v1/alerts  -> 200  12.3 ms  ok  token 0123456789ab"
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {re.escape(told)}", line)


def test_a_refusal_says_why(exchange):
    """It never reached an upstream, and had no token."""
    exchange.attempts.clear()
    exchange.outcome, exchange.error, exchange.response.status = REFUSED, NoRoute(), 404

    assert shown(exchange).endswith("-> 404  12.3 ms  refused (no_route)  no token")


def test_an_exchange_without_request_or_answer_is_shown_too(exchange):
    """A client may leave, or send what is no HTTP."""
    exchange.request = exchange.response = None

    assert "  (no request)  -> no answer  " in shown(exchange)


@pytest.mark.parametrize(("status", "colour"), [(200, "32"), (404, "33"), (502, "31")])
def test_the_colour_tells_how_it_went(exchange, status, colour):
    """Green, yellow, red."""
    exchange.response.status = status

    assert re.fullmatch(rf"\x1b\[{colour}m.*\x1b\[0m", shown(exchange, coloured=True))


def test_a_client_cannot_speak_to_the_terminal(exchange):
    """Control sequences in a target stay what they are: text."""
    exchange.request.target = "/\x1b]0;title\x07\x9b"

    assert r"GET /\u001b]0;title\u0007\u009b  ->" in shown(exchange)


@pytest.mark.parametrize(
    ("outcome", "life_s", "detail", "user", "told"),
    [
        ("ok", 3599.0, "", None, "core: token call (start) ok  token 0123456789ab for 3599 s"),
        ("network", None, "connection refused", None, "core: token call (start) network  connection refused"),
        ("ok", 3599.0, "", "a\x1bb", "core for a\\u001bb: token call (start) ok  token 0123456789ab for 3599 s"),
    ],
)
def test_a_token_call_is_one_line(outcome, life_s, detail, user, told):
    """Which credential, why, and how it ended."""
    lines = []
    fetch = TokenFetch(
        credential="core",
        grant="client_credentials",
        token_url="http://127.0.0.1:9911/oauth/token",
        outcome=outcome,
        status=None,
        detail=detail,
        seconds=0.1,
        fingerprint=FINGERPRINT if life_s else None,
        life_s=life_s,
        reason="start",
        user=user,
    )

    ExchangeLines(lines.append, coloured=False).token_fetched(fetch)

    assert [line.partition("  ")[2] for line in lines] == [told]


def test_it_runs_the_sample_file_at_the_ports_that_were_chosen(ports, tmp_path, samples_demo):
    """What people read in config/demo.toml is what they see."""
    with prepare_demo(ports, tmp_path) as demo:
        config = demo.config

    assert str(config.listener[0].bind) == f"127.0.0.1:{ports.proxy}"
    assert str(config.admin.bind) == f"127.0.0.1:{ports.admin}"
    moved = {
        "http://127.0.0.1:9911": f"http://127.0.0.1:{ports.core}",
        "http://127.0.0.1:9912": f"http://127.0.0.1:{ports.edx}",
    }
    assert [(route.name, str(route.upstream)) for route in config.route] == [
        (route["name"], moved[route["upstream"]]) for route in samples_demo["route"]
    ]
    assert {name: credential.token_url for name, credential in config.credential.items()} == {
        "core": f"http://127.0.0.1:{ports.core}/oauth/token",
        "edx": f"http://127.0.0.1:{ports.edx}/oauth/token",
        "dispatchers": f"http://127.0.0.1:{ports.core}/oauth/v2/token",
    }


def test_without_flags_it_is_the_sample_file_as_it_stands(samples_demo):
    """The flags' defaults are the file's ports."""
    assert samples_demo["listener"][0]["bind"] == "127.0.0.1:8080"
    assert {route["upstream"] for route in samples_demo["route"]} == {"http://127.0.0.1:9911", "http://127.0.0.1:9912"}


@pytest.fixture
def samples_demo(request):
    """Return config/demo.toml, parsed."""
    return tomllib.loads((request.config.rootpath / "config" / "demo.toml").read_text())


def test_secrets_are_new_each_time(ports, tmp_path):
    """Nothing that could be copied into a real installation."""
    with prepare_demo(ports, tmp_path) as one, prepare_demo(ports, tmp_path) as other:
        assert one.secret != other.secret
        assert one.password != other.password
        assert one.config.credential["core"].client_secret == one.secret
        assert one.config.admin.password == one.password


def test_the_log_goes_to_a_directory_of_its_own(ports, tmp_path):
    """For this user only, under the current directory."""
    with prepare_demo(ports, tmp_path) as demo:
        assert demo.log_path == str(tmp_path / ".demo" / "traffic.jsonl")

    assert stat.S_IMODE((tmp_path / ".demo").stat().st_mode) == 0o700


def test_the_log_goes_elsewhere_when_it_must(ports, tmp_path):
    """The banner says where, and nothing of it is left afterwards."""
    (tmp_path / ".demo").write_text("a file in the way")

    with prepare_demo(ports, tmp_path) as demo:
        place = Path(demo.log_path).parent
        Path(demo.log_path).write_text("a record\n")

        assert place.name.startswith(TEMPORARY_PREFIX)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert f"traffic log {demo.log_path}\n" in build_banner(demo)

    assert not place.exists()


def test_the_log_of_another_demo_is_left_to_it(ports, tmp_path):
    """A second one in the same directory, on other ports, has a place of its own."""
    (tmp_path / ".demo").mkdir()
    other = FileLock(tmp_path / ".demo" / "traffic.jsonl")
    other.take()

    with prepare_demo(ports, tmp_path) as demo:
        assert Path(demo.log_path).parent.name.startswith(TEMPORARY_PREFIX)

    other.release()
    with prepare_demo(ports, tmp_path) as demo:
        assert demo.log_path == str(tmp_path / ".demo" / "traffic.jsonl")


@pytest.mark.parametrize(
    ("name", "flag"), [("proxy", "--port"), ("admin", "--admin-port"), ("core", "--core-port"), ("edx", "--edx-port")]
)
def test_a_taken_port_is_named_with_its_flag(ports, tmp_path, name, flag):
    """Before anything has started."""
    port = getattr(ports, name)

    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ConfigError) as caught,
        prepare_demo(ports, tmp_path),
    ):
        pass

    assert str(caught.value) == f"port {port}: is taken\n  fix: stop what uses it, or choose another with {flag} PORT"


def test_one_port_cannot_be_given_twice(ports, tmp_path):
    """The second is named."""
    twice = Ports(ports.proxy, ports.admin, ports.core, ports.core)

    with pytest.raises(ConfigError, match="--edx-port"), prepare_demo(twice, tmp_path):
        pass


def test_the_doctor_is_offered_where_the_file_says_what_runs(ports, tmp_path):
    """At other ports it would look at what is not there."""
    with prepare_demo(ports, tmp_path, ".venv/bin/rapidsos-proxy") as demo:
        line = f"  RAPIDSOS_DEMO_SECRET={demo.secret.reveal()} .venv/bin/rapidsos-proxy doctor --config "

        assert line in build_banner(dataclasses.replace(demo, ports=FILE_PORTS))
        assert "rapidsos-proxy doctor" not in build_banner(demo)
