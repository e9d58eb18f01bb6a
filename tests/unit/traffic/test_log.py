"""The traffic log as a whole, over real files, pipes and a disk that is full."""

import asyncio
import dataclasses
import json
import os
import subprocess
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from proxy.config.models import Config
from proxy.config.models import TrafficLog as Settings
from proxy.config.secret import Secret
from proxy.config.sources import IN_FILE
from proxy.errors import ConfigError
from proxy.http.fields import build_section
from proxy.tokens.token import TokenFetch
from proxy.traffic.log import ENDINGS, LOSS_FIXES, ROOM_FIX, TrafficLog, find_secrets

FETCH = TokenFetch("core", "client_credentials", "https://h/t", "ok", 200, "", 0.1, "0123456789ab", 3600.0, "start")


@pytest.fixture
def path(tmp_path):
    """Return where the log goes."""
    return tmp_path / "traffic.jsonl"


@pytest.fixture
def make_log(path, clock):
    """Return a builder of logs to one file."""

    def make(secrets=(), *, queue_bytes=1 << 20, **settings):
        settings = Settings.model_validate({"path": str(path), **settings})
        return TrafficLog(settings, [Secret(secret, "test") for secret in secrets], queue_bytes=queue_bytes, wall=clock)

    return make


@pytest.fixture
def fifo(path):
    """Return the reading end of a pipe in the place of the file: a disk as slow as the test wants it."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    with ExitStack() as stack:
        stack.callback(os.close, reader)
        yield reader


def read(path):
    """Return the records of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(path):
    """Return the events of a file."""
    return [record["event"] for record in read(path)]


async def test_from_start_to_stop(make_log, make_exchange, path):
    """Everything that passed is in the file, numbered, between the records of start and stop."""
    log = make_log()
    await log.start()
    log.token_fetched(FETCH)
    log.exchange_closed(make_exchange())
    log.exchange_closed(make_exchange())
    await log.stop()

    records = read(path)
    assert [(record["seq"], record["event"]) for record in records] == [
        (1, "log.started"),
        (2, "token.fetched"),
        (3, "exchange.closed"),
        (4, "exchange.closed"),
        (5, "log.stopped"),
    ]
    assert records[0] == {
        "ts": "1970-01-01T00:16:40.000Z",
        "seq": 1,
        "worker": 0,
        "event": "log.started",
        "previous": "new",
        "pid": os.getpid(),
    }
    assert records[-1]["dropped"] == 0
    assert log.stats().written == 5
    assert log.stats().queue_bytes == 0
    assert log.stats().error is None


async def test_a_stop_that_was_never_started_does_nothing(make_log, path):
    """The service stops whatever it has built."""
    await make_log().stop()

    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "previous"),
    [
        ('{"event":"log.stopped"}\n', "stopped"),
        ('{"event":"exchange.closed"}\n', "killed"),
        ('{"event":"exchange.closed"}\n{"event":"exch', "torn"),
    ],
)
async def test_a_restart_says_how_the_log_ended_before(make_log, path, events, content, previous):
    """At most the last record is torn, and those after it are whole."""
    path.write_text(content)
    log = make_log()
    await log.start()
    await log.stop()

    started, stopped = (json.loads(line) for line in path.read_text().splitlines()[-2:])
    assert (started["event"], started["previous"]) == ("log.started", previous)
    assert stopped["event"] == "log.stopped"
    told = [event["meaning"] for event in events.all("log.unclean")]
    assert told == [meaning for name, meaning in ENDINGS.items() if name == previous]


async def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path):
    """Before anything is served without a log."""
    settings = Settings(path=str(tmp_path / "none" / "traffic.jsonl"))
    log = TrafficLog(settings, (), queue_bytes=1000)

    with pytest.raises(ConfigError, match="No such file or directory") as caught:
        await log.start()
    assert caught.value.where == "traffic_log.path"
    await log.stop()


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (os.mkfifo, "it is a FIFO that nobody reads, or a socket: start its reader first"),
        (lambda path: path.symlink_to("elsewhere"), "it is a symbolic link: set the path that it leads to"),
        (lambda path: path.mkdir(), "it is a directory: set the path of a file in it"),
    ],
    ids=["FIFO", "link", "directory"],
)
async def test_what_no_log_can_be_written_to_stops_the_start(make_log, path, make, fix):
    """At once, with the key and the fix."""
    make(path)

    with pytest.raises(ConfigError) as caught:
        await make_log().start()

    assert str(caught.value).startswith(f"traffic_log.path: {path} cannot be opened (")
    assert fix in str(caught.value)


async def test_a_log_that_another_proxy_writes_stops_the_start(make_log, path):
    """With its process; the records of the two would be mixed.  Once it has stopped, the path is free."""
    first, second = make_log(), make_log()
    await first.start()

    with pytest.raises(ConfigError) as caught:
        await second.start()

    assert caught.value.where == "traffic_log.path"
    assert caught.value.problem == f"{path} is in use by another proxy (pid {os.getpid()})"
    assert caught.value.fix == "stop that one, or give this one a path of its own"
    await first.stop()
    assert names(path) == ["log.started", "log.stopped"]
    await second.start()
    await second.stop()


async def test_start_and_stop_need_none_of_the_threads_of_the_loop(make_log, make_exchange, path):
    """A name server that does not answer holds them all; the log must be whole all the same."""
    release = threading.Event()
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    stuck = loop.run_in_executor(None, release.wait)
    log = make_log()

    await asyncio.wait_for(log.start(), 10)
    log.exchange_closed(make_exchange())
    await asyncio.wait_for(log.stop(), 10)

    assert not stuck.done()
    assert names(path) == ["log.started", "exchange.closed", "log.stopped"]
    release.set()
    await stuck


async def test_names_that_the_configuration_adds_are_masked(make_log, make_exchange, path):
    """In target, attempt, head and body."""
    exchange = make_exchange(
        "/v1/location?number=%2B1555&a=b",
        fields=("X-Operator: Jo",),
        answer=b'{"number":"+1555","a":"b"}',
    )
    log = make_log(mask=["NUMBER", "x-operator"])
    await log.start()
    log.exchange_closed(exchange)
    await log.stop()

    record = read(path)[1]
    assert record["request"]["target"] == "/v1/location?number=***&a=b"
    assert record["attempts"][0]["url"].endswith("/v1/location?number=***&a=b")
    assert ["X-Operator", "***"] in record["request"]["headers"]
    assert record["response"]["body"] == '{"number":"***","a":"b"}'


async def test_secrets_are_masked_and_counted(make_log, make_exchange, path):
    """Wherever they turn up, tokens of the proxy's own calls included."""
    log = make_log(["s3cr3t-w0rd"])
    await log.start()
    log.exchange_closed(make_exchange("/p?a=s3cr3t%2Dw0rd", body=b"s3cr3t-w0rd", answer=b"\xffs3cr3t-w0rd"))
    await log.stop()

    assert b"s3cr3t" not in path.read_bytes()
    assert log.stats().redactions == 4


@pytest.mark.parametrize(("token", "stands"), [("full", True), ("fingerprint", False)])
async def test_the_live_token_stands_in_the_log_as_the_setting_says(make_log, make_exchange, path, token, stands):
    """With fingerprints it is masked even where an upstream sends it back."""
    log = make_log(token=token)
    await log.start()
    log.exchange_closed(make_exchange(answer=b'{"seen": "live-token-1"}'))
    log.exchange_closed(make_exchange(answer=b'{"seen": "live-token-2"}', authorization="Bearer live-token-2"))
    await log.stop()

    assert (b"live-token" in path.read_bytes()) is stands
    assert log.stats().redactions == (0 if stands else 2)
    assert read(path)[1]["attempts"][0]["token"] == "0123456789ab"


async def test_a_record_that_cannot_be_built_is_a_loss_and_no_error(make_log, make_exchange, path, events):
    """An observer raises nothing; the defect is told, and the record is missed in the count."""
    log = make_log()
    await log.start()
    exchange = make_exchange()
    exchange.request.section = build_section([("X", object())])
    log.exchange_closed(exchange)
    log.exchange_closed(make_exchange())
    await log.stop()

    assert events.wait("record.failed")["exchange"] == "cad-1f"
    assert names(path) == ["log.started", "exchange.closed", "log.stopped"]
    assert log.stats().dropped == 1


async def test_a_slow_disk_costs_records_and_no_time(make_log, make_exchange, fifo, events, clock):
    """The queue is bounded; when the disk is back, the log says how many are missing, and since when."""
    log = make_log(queue_bytes=200_000)
    await log.start()
    exchange = make_exchange(answer=b"x" * 10_000)
    for _ in range(60):
        log.exchange_closed(exchange)
    lost = log.stats().dropped
    clock.advance(30)
    lines, done = [], threading.Event()

    def follow():
        with os.fdopen(os.dup(fifo), "rb") as file:
            for line in file:
                lines.append(json.loads(line))
                if lines[-1]["event"] == "log.stopped":
                    break
        done.set()

    threading.Thread(target=follow, daemon=True).start()
    await log.stop()

    assert await asyncio.to_thread(done.wait, 10)
    assert 30 < lost < 60
    overflowed, told = events.wait("log.overflowed"), events.wait("log.dropped")
    assert (overflowed["error"], overflowed["fix"]) == ("the sink is too slow", LOSS_FIXES["drop"])
    assert (told["count"], told["since"], told["fix"]) == (lost, "1970-01-01T00:16:40.000Z", LOSS_FIXES["drop"])
    assert told["meaning"] == "so many records are missing from the log since then"
    (dropped,) = (line for line in lines if line["event"] == "log.dropped")
    assert dropped["count"] == lost
    assert dropped["since"] == "1970-01-01T00:16:40.000Z"
    assert dropped["ts"] == "1970-01-01T00:17:10.000Z"
    assert len(lines) == 60 - lost + 3


async def test_a_loss_is_told_as_soon_as_there_is_room(make_log, make_exchange, fifo, monkeypatch):
    """Also when no other exchange comes."""
    monkeypatch.setattr("proxy.traffic.log.LOOK_AGAIN_S", 0.01)
    log = make_log(queue_bytes=200_000)
    await log.start()
    exchange = make_exchange(answer=b"x" * 10_000)
    for _ in range(60):
        log.exchange_closed(exchange)

    def find_loss():
        with os.fdopen(os.dup(fifo), "rb") as file:
            return next(record for record in map(json.loads, file) if record["event"] == "log.dropped")

    assert (await asyncio.to_thread(find_loss))["count"] == log.stats().dropped
    await log.stop()


async def test_requests_are_refused_until_the_disk_has_caught_up(make_log, make_exchange, fifo):
    """With when_full = "refuse", and not before there is room again for more than a few."""
    log = make_log(queue_bytes=400_000, when_full="refuse")
    await log.start()
    exchange = make_exchange(answer=b"x" * 10_000)
    refused_after = 0
    while not log.is_full:
        log.exchange_closed(exchange)
        refused_after += 1

    assert log.stats().dropped == 0
    assert log.stats().queue_bytes > 300_000
    drained = asyncio.to_thread(drain, fifo)
    await asyncio.gather(log.stop(), drained)
    assert not log.is_full


def drain(reader):
    """Read a pipe until the log has stopped."""
    tail = b""
    while b'"event":"log.stopped"' not in tail:
        tail = tail[-100:] + os.read(reader, 65_536)


async def test_nothing_is_refused_unless_the_setting_says_so(make_log, make_exchange, fifo):
    """A 911 centre's requests come before its log, by default."""
    log = make_log(queue_bytes=1000)
    await log.start()
    for _ in range(10):
        log.exchange_closed(make_exchange())

    assert log.stats().dropped > 0
    assert not log.is_full
    await asyncio.gather(log.stop(), asyncio.to_thread(drain, fifo))


async def test_what_is_lost_at_the_stop_is_told(make_log, make_exchange, path, fifo, events, monkeypatch):
    """A disk that takes nothing does not hold the stop for ever."""
    monkeypatch.setattr("proxy.traffic.log.STOP_S", 0.01)
    log = make_log()
    await log.start()
    for _ in range(10):
        log.exchange_closed(make_exchange(answer=b"x" * 20_000))
    await log.stop()

    lost = events.wait("log.lost")
    assert lost["records"] == log.lost >= 5
    assert (lost["path"], lost["error"], lost["fix"]) == (str(path), "the sink is too slow", ROOM_FIX)
    await asyncio.to_thread(drain, fifo)


async def test_rotation_keeps_every_record(make_log, make_exchange, path):
    """Files put aside and the one in use make one log without a gap."""
    log = make_log(rotate={"size": 20_000})
    await log.start()
    for _ in range(40):
        log.exchange_closed(make_exchange(answer=b"x" * 10_000))
        if log.stats().queue_bytes > 100_000:
            await asyncio.sleep(0)
    await log.stop()

    files = [*sorted(path.parent.glob(f"{path.name}.*")), path]
    records = [record for file in files for record in read(file)]
    assert [record["seq"] for record in records] == list(range(1, 43))


@pytest.fixture
def aside(path):
    """Return files of 10,000 bytes, put aside while the clock was wrong: their seals count the other way round."""
    files = [path.with_name(f"{path.name}.1970010{day}T000000.000000Z") for day in range(1, 6)]
    for number, file in enumerate(reversed(files), 1):
        line = f'{{"event":"exchange.closed","seal":"{number}:{"0" * 64}"}}\n'
        file.write_text(line + "x" * (10_000 - len(line) - 1) + "\n")
    return files


@pytest.mark.parametrize("at_start", [True, False])
async def test_a_log_keeps_to_its_size_from_the_start_or_a_reload_on(make_log, path, aside, at_start):
    """Room for two files beside the one in use leaves the two newest."""
    limits = {"rotate": {"size": 10_000}, "retain_size": 30_000}
    log = make_log(**limits if at_start else {"rotate": {"size": 10_000}})
    await log.start()
    before = [file.exists() for file in aside]
    log.use(Settings.model_validate({"path": str(path), **limits}), queue_bytes=1 << 20)
    await log.stop()

    assert before == ([False, False, False, True, True] if at_start else [True] * 5)
    assert [file.exists() for file in aside] == [False, False, False, True, True]


async def test_the_oldest_files_of_a_sealed_log_are_those_with_the_lowest_numbers(make_log, aside):
    """Whatever the clock was when they were named: what is left has no gap."""
    log = make_log(rotate={"size": 10_000}, retain_size=30_000, seal={"key": Secret("00" * 32, "test")})
    await log.start()
    await log.stop()

    assert [file.exists() for file in aside] == [True, True, False, False, False]


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 64 KiB; only root can."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a file system that fills up (mount -t tmpfs needs root)")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_full_disk_costs_records_until_there_is_room(small_disk, make_exchange, events, monkeypatch):
    """Nothing crashes, no line is half, and the log says how many are missing."""
    monkeypatch.setattr("proxy.traffic.writer.RETRY_S", 0.001)
    path, ballast = small_disk / "traffic.jsonl", small_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    log = TrafficLog(Settings(path=str(path)), (), queue_bytes=32_000)
    await log.start()
    exchange = make_exchange(answer=b"x" * 1000)
    for _ in range(15):
        log.exchange_closed(exchange)
    await asyncio.to_thread(events.wait, "log.failed")
    for _ in range(15):
        log.exchange_closed(exchange)
    error, lost = log.stats().error, log.stats().dropped

    ballast.unlink()
    await asyncio.to_thread(events.wait, "log.recovered")
    await log.stop()

    assert error == "No space left on device"
    assert lost > 0
    records = read(path)
    assert sum(record["count"] for record in records if record["event"] == "log.dropped") == lost
    closed = [record["seq"] for record in records if record["event"] == "exchange.closed"]
    assert closed == sorted(closed)
    assert records[-1] | {"ts": ""} == {
        "ts": "",
        "seq": len(records) + lost,
        "worker": 0,
        "event": "log.stopped",
        "dropped": lost,
    }


def make_config():
    """Return a configuration with a secret in every place that may have one."""
    return Config.model_validate(
        {
            "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
            "credential": {
                "core": {
                    "grant": "password",
                    "token_url": "https://h/t",
                    "client_id": Secret("an-open-id", IN_FILE),
                    "client_secret": Secret("core-secret", "env A"),
                    "username": Secret("a-user-name", "env U"),
                    "password": Secret("core-password", "file /b"),
                },
            },
            "route": [{"name": "all", "upstream": "https://h", "credential": "core"}],
            "outbound": {"username": Secret("out-user", IN_FILE), "password": Secret("out-password", "env C")},
            "admin": {"password": Secret("admin-password", "env D")},
        }
    )


async def test_a_secret_that_is_learnt_is_masked_beside_the_old_ones(make_log, path):
    """From the next record on; the old one is as secret as before."""
    log = make_log(["old-secret"])
    await log.start()
    log.learn([Secret("new-secret", "test"), Secret("old-secret", "test")])
    log.token_fetched(dataclasses.replace(FETCH, detail="old-secret new-secret"))
    await log.stop()

    assert read(path)[1]["detail"] == "*** ***"
    assert log.stats().redactions == 2


def test_every_secret_of_a_configuration_is_found():
    """Except what stands in its file for all to read: to mask a user called "dispatch" would spoil the log."""
    assert {secret.reveal() for secret in find_secrets(make_config())} == {
        "core-secret",
        "a-user-name",
        "core-password",
        "out-password",
        "admin-password",
        b64encode(b"a-user-name:core-password").decode(),
        b64encode(b"out-user:out-password").decode(),
    }


async def test_other_settings_hold_from_the_next_record_on(make_log, make_exchange, path):
    """Numbers go on without a gap, and what is kept of bodies and shown of tokens is what is said now."""
    log = make_log(token="full", bodies=100)
    await log.start()
    log.exchange_closed(make_exchange())
    log.use(Settings(path=str(path), token="fingerprint", bodies=0), queue_bytes=1 << 20)
    log.exchange_closed(make_exchange())
    await log.stop()
    before, after = [record for record in read(path) if record["event"] == "exchange.closed"]

    assert [record["seq"] for record in read(path)] == [1, 2, 3, 4]
    assert before["response"]["body"]
    assert not after["response"].get("body")
    assert "authorization" in before["attempts"][-1]
    assert "fingerprint" in json.dumps(after) or "Bearer" not in json.dumps(after)


async def test_a_log_may_begin_to_refuse(make_log, make_exchange, fifo, path):
    """The room in memory, and what gives way when there is none, change while it is full."""
    log = make_log(queue_bytes=1 << 20)
    await log.start()
    log.exchange_closed(make_exchange())
    before = log.is_full
    log.use(Settings(path=str(path), when_full="refuse"), queue_bytes=10)
    after = log.is_full
    log.use(Settings(path=str(path)), queue_bytes=1 << 20)
    threading.Thread(target=os.read, args=(fifo, 1 << 20), daemon=True).start()
    await log.stop()

    assert (before, after, log.is_full) == (False, True, False)
