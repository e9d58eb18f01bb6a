"""The traffic log of a whole proxy, as the file that it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest
from harness.records import read_records
from harness.running import until
from harness.upstream import answering

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.running import RunningProxy

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(target: str, body: bytes, *fields: str) -> bytes:
    """Build a request with a body."""
    head = "\r\n".join((f"POST {target} HTTP/1.1", "Host: proxy", f"Content-Length: {len(body)}", *fields, "", ""))
    return head.encode() + body


def answer(body: bytes) -> bytes:
    """Build an answer with a body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_what_the_configuration_names_is_masked_and_nothing_else_changes(
    in_front_of: Any, tmp_path: Path
) -> None:
    """RapidSOS and the client get every byte; the log has the names, and not the caller."""
    path = tmp_path / "traffic.jsonl"
    sent = b'{"caller":{"phone":"+15555550100","name":"Jo Doe"},"text":"smoke"}'
    answered = answer(b"<r><caller><name>Jo Doe</name></caller><status>ok</status></r>")
    section = {"path": str(path), "mask": ["caller", "callerNumber", "X-Operator"]}
    async with in_front_of(answering(answered, body=len(sent)), traffic_log=section) as proxy:
        received = await proxy.talk(post("/api/x?callerNumber=%2B15555550100&a=b", sent, "X-Operator: Ann"))
        at_upstream = b"".join(peer.received for peer in proxy.upstream.peers)
        await proxy.stop()
        (record,) = read_records(path)

    assert received.endswith(answered.partition(b"\r\n\r\n")[2])
    assert b"POST /x?callerNumber=%2B15555550100&a=b " in at_upstream
    assert b"X-Operator: Ann\r\n" in at_upstream
    assert at_upstream.endswith(sent)
    assert record["request"]["target"] == "/api/x?callerNumber=***&a=b"
    assert record["attempts"][0]["url"].endswith("/x?callerNumber=***&a=b")
    assert ["X-Operator", "***"] in record["request"]["headers"]
    assert json.loads(record["request"]["body"]) == {"caller": "***", "text": "smoke"}
    assert record["response"]["body"] == "<r><caller>***</caller><status>ok</status></r>"
    assert "Doe" not in path.read_text()
    assert "5555550100" not in path.read_text()


async def test_a_body_made_to_cost_much_is_relayed_and_withheld_from_the_log(in_front_of: Any, tmp_path: Path) -> None:
    """The record says why; everything else of it is there."""
    path = tmp_path / "traffic.jsonl"
    sent = b"&#65;" * 13_000
    async with in_front_of(answering(OK, body=len(sent)), traffic_log={"path": str(path)}) as proxy:
        received = await proxy.talk(post("/api/x", sent))
        at_upstream = b"".join(peer.received for peer in proxy.upstream.peers)
        await proxy.stop()
        (record,) = read_records(path)

    assert received.endswith(b"ok")
    assert at_upstream.endswith(sent)
    assert record["request"]["body"] is None
    assert record["request"]["body_bytes"] == len(sent)
    assert record["request"]["body_withheld"].startswith("it has too many escapes")
    assert record["response"]["body"] == "ok"
    assert b"&#65;" not in path.read_bytes()


async def test_the_log_cannot_speak_to_a_terminal(in_front_of: Any, tmp_path: Path) -> None:
    """U+009B begins a command as ESC [ does, and U+2028 ends a line for many tools; in the record they are data."""
    path = tmp_path / "traffic.jsonl"
    said = "a\x1b[2J\x9b2Jb\u2028c\x85d"
    async with in_front_of(answering(answer(said.encode())), traffic_log={"path": str(path)}) as proxy:
        await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nX-A: \xc2\x9b2J\r\n\r\n")
        await proxy.stop()
        (record,) = read_records(path)

    assert record["response"]["body"] == said
    assert len(path.read_text().splitlines()) == path.read_bytes().count(b"\n")
    assert not {"\x1b", "\x9b"} & set(path.read_text())


async def test_a_log_that_others_may_read_is_closed_to_them(in_front_of: Any, tmp_path: Path) -> None:
    """It holds live tokens."""
    path = tmp_path / "traffic.jsonl"
    path.touch()
    path.chmod(0o644)
    async with in_front_of(answering(OK), traffic_log={"path": str(path)}):
        mode = stat.S_IMODE(path.stat().st_mode)

    assert mode == 0o600


async def test_a_fifo_that_nobody_reads_stops_the_start(in_front_of: Any, tmp_path: Path) -> None:
    """At once, with key and fix: to open it would wait for ever."""
    path = tmp_path / "traffic.jsonl"
    os.mkfifo(path)

    with pytest.raises(ConfigError, match=r"traffic_log\.path(.|\n)*start its reader first"):
        async with asyncio.timeout(10), in_front_of(answering(OK), traffic_log={"path": str(path)}):
            pass


async def is_ready(proxy: RunningProxy) -> tuple[bool, list[str]]:
    """Ask the admin listener whether the proxy is ready, and why it is not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.service.admin_url.rpartition(":")[2]))
    writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    return answer["ready"], answer["reasons"]


async def test_a_log_that_fails_has_requests_refused_at_once_if_told_to(
    in_front_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when the queue is full; what was answered before is kept, and once it is written they are served."""
    monkeypatch.setattr("proxy.traffic.writer.RETRY_S", 0.01)
    directory = tmp_path / "log"
    directory.mkdir()
    section = {"path": str(directory / "traffic.jsonl"), "when_full": "refuse"}
    async with in_front_of(answering(OK), traffic_log=section) as proxy:
        ready = await is_ready(proxy)
        shutil.rmtree(directory)
        answered = await proxy.talk(GET)
        await until(lambda: proxy.service.status().log.refusing)
        refused = [await proxy.talk(GET) for _ in range(3)]
        unready = await is_ready(proxy)
        at_upstream = b"".join(peer.received for peer in proxy.upstream.peers).count(b"GET /x ")
        directory.mkdir()
        await until(lambda: not proxy.service.status().log.refusing)
        served = await proxy.talk(GET)
        ready_again = await is_ready(proxy)
        await proxy.stop()
        events = [json.loads(line) for line in (directory / "traffic.jsonl").read_text().splitlines()]
    outcomes = [event["outcome"] for event in events if event["event"] == "exchange.closed"]

    assert (ready, ready_again) == ((True, []), (True, []))
    assert answered.endswith(b"ok")
    assert [answer.split()[1] for answer in refused] == [b"503"] * 3
    assert at_upstream == 1
    assert unready == (False, ['the traffic log cannot take records, and traffic_log.when_full = "refuse"'])
    assert served.endswith(b"ok")
    assert outcomes == ["ok", "refused", "ok"]
    assert [event["count"] for event in events if event["event"] == "log.dropped"] == [2]


async def test_a_log_that_fails_has_no_request_refused_by_default(
    in_front_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy stays ready, and what waited in memory is written once it can be."""
    monkeypatch.setattr("proxy.traffic.writer.RETRY_S", 0.01)
    directory = tmp_path / "log"
    directory.mkdir()
    async with in_front_of(answering(OK), traffic_log={"path": str(directory / "traffic.jsonl")}) as proxy:
        shutil.rmtree(directory)
        answers = [await proxy.talk(GET)]
        await until(lambda: proxy.service.status().log.error is not None)
        ready = await is_ready(proxy)
        answers += [await proxy.talk(GET) for _ in range(3)]
        directory.mkdir()
        await proxy.recorder.wait_exchanges(4)
        await until(lambda: proxy.service.status().log.error is None)
        await proxy.stop()
        records = read_records(directory / "traffic.jsonl")

    assert all(answer.endswith(b"ok") for answer in answers)
    assert ready == (True, [])
    assert [record["outcome"] for record in records] == ["ok"] * 4
