"""What people read is true: commands run, samples load, names exist, tables say what the code says."""

import argparse
import ast
import base64
import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.tools import find_tool
from prometheus_client import generate_latest

import proxy
from proxy import cli
from proxy.admin.app import OPEN_PATHS
from proxy.admin.metrics import ProxyCollector
from proxy.config.load import load_config
from proxy.config.sources import environment
from proxy.control.table import HEAD
from proxy.errors import ClientError, ExchangeError, TokenError, UpstreamError
from proxy.exchange import Exchange
from proxy.tokens.explain import NEXT_STEPS, TRIED_AGAIN
from proxy.tokens.token import REFUSED

ROOT = Path(__file__).parents[2]
PACKAGE = Path(proxy.__file__).parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = DOCUMENTS[0].read_text()

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPOKEN = re.findall(r"`([^`\n]+)`", FENCED.sub("", README))
"""What stands in code style within a sentence."""

DEMO_PORTS = {"--port": "8080", "--admin-port": "9090", "--core-port": "9911", "--edx-port": "9912"}
"""Where README finds the demo."""
STORE_KEY = f"{base64.b64encode(bytes(32)).decode()}\n"
CLEAN_ENVIRONMENT = {
    name: value
    for name, value in environment().items()
    if not name.startswith("RAPIDSOS_") and not name.lower().endswith("_proxy")
}
WHOSE = [
    (ClientError, "client"),
    (TokenError, "token server"),
    (UpstreamError, "RapidSOS, or the way to it"),
    (ExchangeError, "proxy"),
]


def find_blocks(language):
    """Return the fenced blocks of README that are in ``language``."""
    return [block for name, block in FENCED.findall(README) if name == language]


def find_commands():
    """Return every line of README that is to be typed in a shell."""
    lines = [line for block in find_blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def split_command(line):
    """Return the variables that are set before a command, and its words."""
    words = shlex.split(line, comments=True)
    count = next((place for place, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


def find_own_commands():
    """Return every call of the proxy in README, in blocks and in sentences."""
    spoken = [text for text in SPOKEN if text.startswith("rapidsos-proxy ")]
    return [line for line in [*find_commands(), *spoken] if "rapidsos-proxy" in split_command(line)[1]]


def find_requests():
    """Return every curl line of README, in the order in which it is read."""
    return ["".join(found) for found in re.findall(r"^(?:\$ )?(curl .+)$|`(curl [^`]+)`", README, re.MULTILINE)]


def shape_of(value):
    """Return a value with every text and number forgotten, so that two records can be compared by their keys."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    return type(value) if isinstance(value, list) else None


def names_in(docstring):
    """Return the names that begin the lines of a map, alone or several with commas between."""
    lines = re.findall(r"^ *([a-z_]+(?:, [a-z_]+)*)  +\S", docstring, re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def modules_of(package):
    """Return the names of the modules and packages that lie directly in a package."""
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    return names - {"__init__"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document):
    """By links, and by paths in code style."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    paths = re.findall(r"`((?:config|docs|proxy|tests|\.ci)/[\w./-]*)`", text)

    assert [link for link in links if not (document.parent / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_command_is_of_a_kind_that_is_tested_here():
    """Whoever adds another kind of command adds its test."""
    kinds = {split_command(line)[1][0].rpartition("/")[2] for line in find_commands()}

    assert kinds == {"make", "python3", "pip", "export", "rapidsos-proxy", "curl"}


def test_every_make_target_exists():
    """And says in `make help` what it does."""
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"\bmake ([a-z]+)\b", "\n".join([*find_commands(), *SPOKEN]))

    assert "run" in named
    assert [name for name in named if not re.search(rf"^{name}:.*## \S", makefile, re.MULTILINE)] == []


def test_the_installation_names_files_that_exist():
    """The constraints, and what pip reads to build the package."""
    (pip,) = (words for line in find_commands() if (words := split_command(line)[1])[0].endswith("/pip"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (ROOT / pip[pip.index("--constraint") + 1]).is_file()
    assert (ROOT / project["readme"]).is_file()


@pytest.mark.parametrize("line", find_own_commands())
def test_every_call_of_the_proxy_is_understood(line, capsys):
    """With the arguments that README gives it."""
    arguments = split_command(line)[1][1:]

    told = {"--help": "RAPIDSOS_CLIENT_ID", "--version": "rapidsos-proxy "}.get(arguments[-1])
    if told is not None:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 0
        assert told in capsys.readouterr().out
    else:
        assert cli._build_parser().parse_args(arguments).command


def find_helps():
    """Return the help of the program and of each of its commands, by its name."""
    parsers = [cli._build_parser()]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return {parser.prog: parser.format_help() for parser in parsers}


HELPS = find_helps()
EXAMPLES = [
    line
    for text in HELPS.values()
    for line in re.sub(r"\\\n", " ", text).splitlines()
    if re.match(r" +(\w+=\S+ +)*rapidsos-proxy ", line)
]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_of_a_help_is_understood(line):
    """As it stands there, its continued lines joined."""
    assert cli._build_parser().parse_args(split_command(line)[1][1:]).command


@pytest.mark.parametrize("name", HELPS)
def test_every_help_has_an_example(name):
    """Of that very command."""
    assert [line for line in EXAMPLES if f"{name} " in f"{line.strip()} "]


@pytest.mark.parametrize("line", [line for line in find_commands() if "check --config" in line or "list" in line])
def test_calls_that_need_nothing_else_end_well(line):
    """As they stand, from the directory of the sources."""
    variables, words = split_command(line)
    command = [sys.executable, "-m", "proxy", *words[1:]]

    done = subprocess.run(
        command, cwd=ROOT, env=CLEAN_ENVIRONMENT | variables, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_installation_leads_to_a_sound_profile(tmp_path):
    """With the variables that README exports, `check` is content."""
    secret = tmp_path / "secret"
    secret.write_text("a-secret\n")
    secret.chmod(0o600)
    (exported,) = (line for line in find_commands() if line.startswith("export RAPIDSOS"))
    variables, _ = split_command(exported.removeprefix("export ").replace("/run/secrets/rapidsos", str(secret)))

    config = load_config(None, variables)

    assert [str(listener.bind) for listener in config.listener] == ["127.0.0.1:8080"]


@pytest.mark.parametrize("block", find_blocks("toml"))
def test_every_configuration_in_readme_is_sound(block, tmp_path):
    """Whole ones as they stand; a section alone with the demo's file around it."""
    for name in re.findall(r"/run/secrets/(\w+)", block):
        (tmp_path / name).write_text(STORE_KEY if name.endswith("_key") else "a-secret\n")
    block = block.replace("/run/secrets", str(tmp_path))
    is_whole = "[[listener]]" in block
    path = tmp_path / "proxy.toml"
    path.write_text(block if is_whole else (ROOT / "config" / "demo.toml").read_text() + block)
    environ = {"RAPIDSOS_CLIENT_ID": "an-id", "RAPIDSOS_DEMO_SECRET": "a-secret"}

    config = load_config(path, environ)

    assert set(tomllib.loads(block)) <= config.model_fields_set


def test_the_table_of_failures_is_that_of_the_errors():
    """Whose fault, status and slug; none left out, none made up."""
    told = set(re.findall(r"^\| ([^|]+) \| (\d{3}) \| `(\w+)` \|", README, re.MULTILINE))
    errors, found = [ExchangeError], set()
    while errors:
        error = errors.pop()
        errors += error.__subclasses__()
        whose = next(name for family, name in WHOSE if issubclass(error, family))
        found.add((whose, str(error.status), error.slug))
    families = {("token server", "500", "internal")}  # TokenError itself is never raised

    assert told == found - families


def test_the_state_of_tokens_has_the_columns_that_readme_shows():
    """And the lines below them begin so."""
    (shown,) = (block for block in find_blocks("console") if "token status" in block)
    _, head, *rows = shown.splitlines()

    assert tuple(re.split(r"  +| (?=EXPIRES|NEXT|CLOCK)", head)) == HEAD
    assert all(len(re.split(r"  +", row)) == len(HEAD) for row in rows[:2])
    assert rows[-1].startswith("  next step: ")
    assert rows[-1].removeprefix("  next step: ") == f"{NEXT_STEPS[REFUSED]} {TRIED_AGAIN}"


def test_the_admin_paths_without_a_login_are_the_open_ones():
    """A probe that README points at one is answered."""
    assert set(re.findall(r"^\| `(/\w+)` \| no \|", README, re.MULTILINE)) == OPEN_PATHS


def test_every_metric_that_readme_names_is_exposed(healthy_proxy):
    """An alert on a name that is not there is never raised."""
    healthy_proxy.tally.exchange_closed(Exchange("e-1", 0.0, 0.0, "cad", "127.0.0.1"))
    exposed = set(re.findall(r"^# TYPE (\S+)", generate_latest(ProxyCollector(healthy_proxy)).decode(), re.MULTILINE))
    named = set(re.findall(r"`(rapidsos_proxy_\w+)`", README))

    assert len(named) >= 5
    assert named - exposed == set()


def test_the_changelog_begins_with_the_present_version():
    """A release without an entry is none."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert first[1] == version


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.relative_to(PACKAGE.parent).as_posix()
)
def test_every_map_names_every_module(path):
    """One line each in the docstring of its package, and none for what is not there."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))

    assert names_in(docstring) == modules_of(path.parent)


@dataclass(frozen=True)
class Rehearsal:
    """What came of README's requests.

    Attributes:
        answers: Of each request, in order: the line that was typed, and what it showed.
        records: What the traffic log has of them.
    """

    answers: list[tuple[str, str]]
    records: list[dict[str, object]]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """Run every request of README, in order, against one demo on free ports."""
    find_tool("curl")
    directory = tmp_path_factory.mktemp("demo")
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in DEMO_PORTS]
    ports = {port: str(server.getsockname()[1]) for port, server in zip(DEMO_PORTS.values(), servers, strict=True)}
    for server in servers:
        server.close()
    flags = [word for flag, port in DEMO_PORTS.items() for word in (flag, ports[port])]
    command = [sys.executable, "-m", "proxy", "demo", *flags]
    with subprocess.Popen(command, cwd=directory, env=CLEAN_ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            while not (line := process.stdout.readline()).startswith("See the log"):
                assert line, "the demo ended before it listened"
            answers = [(line, run_request(line, ports)) for line in find_requests()]
        finally:
            process.terminate()
            process.communicate(timeout=30)
    records = map(json.loads, (directory / ".demo" / "traffic.jsonl").read_text().splitlines())
    return Rehearsal(answers, [record for record in records if record["event"] == "exchange.closed"])


def run_request(line, ports):
    """Run a curl line with the demo's ports in place of README's."""
    moved = re.sub(r"\b(8080|9911)\b", lambda match: ports[match[0]], line)
    command = [*shlex.split(moved), "--silent", "--show-error"]
    done = subprocess.run(command, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_every_request_is_answered_as_readme_says(rehearsal):
    """The proof, the three ways in, and the bad day."""
    statuses = [int(output.split()[1]) for line, output in rehearsal.answers if " -i " in line]
    bodies = [json.loads(output) for line, output in rehearsal.answers if " -i " not in line]

    assert statuses == [200, 200, 502]
    assert "alerts" in bodies[0]
    assert bodies[1]["caller_id"] == "15555550100"
    assert "alerts" in bodies[2]
    assert bodies[3]["caller_id"] == "15555550100"
    assert bodies[-1]["token_requests"] == 3
    assert [len(record["attempts"]) for record in rehearsal.records] == [1, 1, 1, 1, 1, 2, 2]
    assert [record["user"] for record in rehearsal.records if record["user"]] == ["dispatcher@psap.example"]


def test_a_failure_has_the_shape_that_readme_shows(rehearsal):
    """A problem document: the same keys, the slug in its type."""
    (shown,) = map(json.loads, find_blocks("json"))
    (body,) = (output.partition("\n\n")[2] for _, output in rehearsal.answers if output.startswith("HTTP/1.1 502"))
    problem = json.loads(body)

    assert shape_of(problem) == shape_of(shown)
    assert problem["type"] == shown["type"].replace("no_token", "upstream_closed")


def test_a_record_has_the_shape_that_readme_shows(rehearsal):
    """Every key of it, and no other."""
    (shown,) = (json.loads(block.replace(",…", "")) for block in find_blocks("") if block.startswith('{"ts"'))
    record = rehearsal.records[0]

    assert shape_of(record) == shape_of(shown)
    assert shape_of(record["attempts"][0]) == shape_of(shown["attempts"][0])
    assert record["request"]["target"] == shown["request"]["target"]
    assert record["id"] != shown["id"]
