"""Secrets that change while the proxy runs: what is noticed, what is asked again, what is handed on."""

import asyncio
import dataclasses
import os
import sys
import threading

import pytest
from harness.held_file import HeldFile
from harness.running import until
from harness.timeline import Timeline
from structlog.testing import capture_logs

from proxy.config.models import Config
from proxy.config.places import Command, File, Variable
from proxy.config.secret import Secret
from proxy.rotation import Rotation
from proxy.tokens.token import OK, REFUSED, TokenFetch

ENVIRON = {"CLIENT_ID": "an-id"}
ECHO = "import sys; print(open(sys.argv[1]).read())"


def build_command(path):
    """Return a command that gives what a file holds; it fails where there is none."""
    return Command((sys.executable, "-c", ECHO, str(path)), path.parent, {})


def build_config(admin, **places):
    """Build a configuration of one credential for each place."""
    credentials = {
        name: {
            "grant": "client_credentials",
            "token_url": "https://api.example/oauth/token",
            "client_id": Variable("CLIENT_ID", ENVIRON).read(),
            "client_secret": place.read(),
        }
        for name, place in places.items()
    }
    return Config.model_validate(
        {"listener": [], "route": [], "credential": credentials, "admin": {"password": admin.read()}}
    )


class Uses:
    """Takes what a rotation hands on.

    Attributes:
        configs: Each configuration.
        credentials: The credentials concerned, each time.
    """

    def __init__(self):
        """Begin with none."""
        self.configs = []
        self.credentials = []

    def __call__(self, config, credentials):
        """Keep it."""
        self.configs.append(config)
        self.credentials.append(set(credentials))

    @property
    def secrets(self):
        """The last client secret of each credential."""
        return {name: one.client_secret.reveal() for name, one in self.configs[-1].credential.items()}


@pytest.fixture
def path(tmp_path):
    """Return the file of the first secret."""
    path = tmp_path / "secret"
    path.write_text("first")
    path.chmod(0o600)
    return path


@pytest.fixture
def uses():
    """Return what takes the changes."""
    return Uses()


@pytest.fixture
def config(path):
    """Return a configuration that has the one secret everywhere, from the file and by a command."""
    return build_config(File(path), north=File(path), south=build_command(path), east=File(path))


@pytest.fixture
def timeline():
    """Return the rotation's clock."""
    return Timeline()


@pytest.fixture
async def rotation(config, uses, timeline):
    """Return a rotation that has not been started."""
    rotation = Rotation(config, uses, clock=timeline)
    yield rotation
    await rotation.stop()


FETCH = TokenFetch("south", "client_credentials", "https://h/t", REFUSED, 401, "", 0.1, None, None, "refresh")


@pytest.fixture
def slow(path, tmp_path):
    """Return a configuration whose command gives what a file holds that nothing else reads."""
    (tmp_path / "slow").write_text("first")
    return build_config(File(path), south=build_command(tmp_path / "slow"))


async def test_an_answer_for_a_former_configuration_is_not_used(slow, uses, tmp_path):
    """A reload may come while a command is asked; it has asked by itself."""
    rotation = Rotation(slow, uses)
    held = HeldFile(tmp_path / "slow")
    asking = asyncio.ensure_future(rotation.read_again("south"))
    await until(held.is_read)
    rotation.use(slow)
    held.give(b"second")
    await asking
    await rotation.stop()

    assert uses.configs == []


async def test_every_key_of_a_file_changes_together(rotation, uses, path):
    """Those of another place do not."""
    rotation.start()
    path.write_text("second")
    await until(lambda: bool(uses.configs))

    assert uses.credentials == [{"north", "east"}]
    assert uses.secrets == {"north": "second", "south": "first", "east": "second"}
    assert uses.configs[0].admin.password.reveal() == "second"


def test_a_change_is_told_by_key_and_place(rotation, path):
    """Which one is not told, nor any part of it; of what is used at the next start only, that is said."""
    path.write_text("second")
    with capture_logs() as logs:
        rotation.take({File(path): File(path).read()})

    assert [(entry["event"], entry["key"], entry["used"].split()[3]) for entry in logs] == [
        ("secret.changed", "credential.north.client_secret", "call"),
        ("secret.changed", "credential.east.client_secret", "call"),
        ("secret.changed", "admin.password", "start"),
    ]
    assert {entry["source"] for entry in logs} == {f"file {path}"}
    assert "second" not in repr(logs)


def test_a_new_secret_that_looks_pasted_is_warned_of(rotation, uses, path):
    """It is used all the same."""
    path.write_text('"second"')
    with capture_logs() as logs:
        rotation.take({File(path): File(path).read()})

    (entry,) = (entry for entry in logs if entry["event"] == "secret.odd")
    assert entry["key"] == "credential.north.client_secret, credential.east.client_secret, admin.password"
    assert uses.secrets["north"] == '"second"'
    assert "second" not in repr(logs)


def test_what_is_read_again_and_is_the_same_is_no_change(rotation, uses, path):
    """Nothing is handed on for it."""
    rotation.take({File(path): File(path).read()})

    assert uses.configs == []


def test_changes_add_up(rotation, uses, path):
    """A later one does not bring an earlier value back."""
    path.write_text("second")
    rotation.take({File(path): File(path).read()})
    path.write_text("third")
    command = build_command(path)
    rotation.take({command: command.read()})

    assert uses.secrets == {"north": "second", "south": "third", "east": "second"}


async def test_a_command_is_asked_again_when_its_secret_is_refused(rotation, uses, path, timeline):
    """By whoever has it; files are looked at all the time anyway."""
    path.write_text("second")
    rotation.token_fetched(FETCH)
    await timeline.advance(0.0)
    await until(lambda: bool(uses.configs))

    assert uses.credentials == [{"south"}]
    assert uses.secrets == {"north": "first", "south": "second", "east": "first"}


async def test_a_command_is_asked_once_a_minute_however_often_its_secret_is_refused(rotation, uses, path, timeline):
    """A refusal within that minute is not forgotten: the command is asked at its end."""
    await rotation.read_again("south")
    path.write_text("second")
    for _ in range(3):
        await timeline.advance(10.0)
        rotation.token_fetched(FETCH)
    await timeline.advance(29.9)
    assert len(rotation._tasks) == 0

    await timeline.advance(0.2)
    await until(lambda: bool(uses.configs))

    assert uses.secrets["south"] == "second"
    assert timeline.next_at is None


async def test_a_good_secret_is_not_asked_for_again(rotation, timeline):
    """Nor after a failure that is none of its own."""
    for outcome in (OK, "network", "timeout"):
        rotation.token_fetched(dataclasses.replace(FETCH, outcome=outcome))

    assert timeline.next_at is None


async def test_what_is_planned_ends_with_the_rotation(rotation, timeline):
    """Nothing is asked after it."""
    rotation.token_fetched(FETCH)
    await rotation.stop()

    assert timeline.next_at is None


LOGIN = {"username": Variable("CLIENT_ID", ENVIRON).read(), "password": Variable("CLIENT_ID", ENVIRON).read()}


def build_people_config(place, **how):
    """Build a configuration of one person's credential, ``core``, whose client secret comes from ``place``."""
    credential = {
        "grant": "password",
        "token_url": "https://api.example/oauth/token",
        "client_id": Variable("CLIENT_ID", ENVIRON).read(),
        "client_secret": Secret("first", "test", place),
        **how,
    }
    return Config.model_validate({"listener": [], "route": [], "credential": {"core": credential}})


WAYS = {
    "core": LOGIN,
    "core/alice": {"from_client": "header:X-Dispatcher", "clients": ["127.0.0.0/8"], "users": {"alice": LOGIN}},
}
"""By the name of the source that tells of its calls: who says whose token it is."""


@pytest.mark.parametrize("code", ["invalid_client", "invalid_grant", None])
@pytest.mark.parametrize("source", WAYS)
async def test_a_persons_refusal_asks_for_the_secrets_of_the_configuration(uses, path, timeline, source, code):
    """Under whichever name its source goes; his password may come from a command as well."""
    rotation = Rotation(build_people_config(build_command(path), **WAYS[source]), uses, clock=timeline)
    path.write_text("second")
    rotation.token_fetched(dataclasses.replace(FETCH, credential=source, code=code))
    await timeline.advance(0.0)
    await until(lambda: bool(uses.configs))

    assert uses.secrets == {"core": "second"}
    await rotation.stop()


async def test_what_a_person_mistypes_asks_for_nothing(uses, path, timeline):
    """It is none of the configuration's secrets, and must not spend the minute of one that is."""
    rotation = Rotation(build_people_config(build_command(path), from_client="basic"), uses, clock=timeline)
    path.write_text("second")
    for code in ("invalid_grant", None):
        rotation.token_fetched(dataclasses.replace(FETCH, credential="core", code=code))
    assert timeline.next_at is None

    rotation.token_fetched(dataclasses.replace(FETCH, credential="core", code="invalid_client"))
    await timeline.advance(0.0)
    await until(lambda: bool(uses.configs))

    assert uses.secrets == {"core": "second"}
    await rotation.stop()


async def test_an_operator_gets_the_secret_as_it_is_now(rotation, uses, path, timeline):
    """Whatever was asked a moment ago; what was planned need not be asked any more."""
    await rotation.read_again("south")
    rotation.token_fetched(FETCH)
    path.write_text("second")

    await rotation.read_for_operator("south")

    assert uses.secrets["south"] == "second"
    assert timeline.next_at is None


async def test_an_operator_does_not_wait_for_a_command_that_hangs(uses, path, timeline):
    """Nor does the process wait for it before it ends; what it gives later is used then."""
    fifo = path.with_name("fifo")
    rotation = Rotation(build_people_config(build_command(fifo), **LOGIN), uses, clock=timeline)
    os.mkfifo(fifo)

    await rotation.read_for_operator("core", limit_s=0.01)
    is_daemon = {thread.name: thread.daemon for thread in threading.enumerate()}
    assert uses.configs == []
    await asyncio.to_thread(fifo.write_text, "second")
    await until(lambda: bool(uses.configs))

    assert uses.secrets["core"] == "second"
    assert is_daemon["secret of core"]
    await rotation.stop()


async def test_a_command_that_fails_leaves_the_old_secret(rotation, uses, path):
    """It is complained of once, and once more when it works again."""
    path.unlink()
    with capture_logs() as logs:
        await rotation.read_again("south")
        await rotation.read_again("south")
        path.write_text("second")
        await rotation.read_again("south")

    assert [entry["event"] for entry in logs] == ["secret.unreadable", "secret.recovered", "secret.changed"]
    assert logs[0]["keys"] == ("credential.south.client_secret",)
    assert uses.secrets["south"] == "second"


async def test_the_files_are_no_longer_looked_at_after_the_end(config, uses):
    """The thread ends by itself."""
    rotation = Rotation(config, uses)
    rotation.start()
    await rotation.stop()

    await until(lambda: "secret files" not in {thread.name for thread in threading.enumerate()})


async def test_nothing_is_looked_at_where_nothing_can_change(uses):
    """Variables do not change while a process lives."""
    variable = Variable("CLIENT_ID", ENVIRON)
    rotation = Rotation(build_config(variable, north=variable), uses)
    rotation.start()

    assert "secret files" not in {thread.name for thread in threading.enumerate()}
    await asyncio.gather(rotation.read_again("north"), rotation.stop())
    assert uses.configs == []


@pytest.fixture
def other(tmp_path):
    """Return the file of another configuration's secret."""
    other = tmp_path / "other"
    other.write_text("one")
    other.chmod(0o600)
    return other


@pytest.fixture
def next_config(other):
    """Return that configuration."""
    return build_config(Variable("CLIENT_ID", ENVIRON), west=File(other))


async def test_another_configuration_takes_the_place_of_the_one_before(path, other, uses, rotation, next_config):
    """Its files are looked at from then on, and those of the one before no more."""
    rotation.start()
    rotation.use(next_config)
    path.write_text("nobody looks")
    other.write_text("two")
    await until(lambda: bool(uses.configs))

    assert uses.secrets == {"west": "two"}
    assert rotation.config is uses.configs[-1]


async def test_a_call_for_a_credential_that_is_not_there_is_nobodys(uses, rotation, timeline, next_config):
    """It is one that a reload has taken out, or is about to bring in."""
    rotation.use(next_config)
    rotation.token_fetched(FETCH)
    await rotation.read_again(FETCH.credential)
    await timeline.advance(100.0)

    assert uses.configs == []
