"""The traffic log as a reader of it sees it: one JSON object a line, and the shape that the contract gives it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Record = dict[str, Any]

_BODY = {"body", "body_encoding", "body_bytes", "body_cut"}
_SHAPE = {
    "ts",
    "seq",
    "worker",
    "event",
    "id",
    "listener",
    "client",
    "user",
    "client_cert",
    "route",
    "credential",
    "request",
    "attempts",
    "response",
    "token_expires_in_s",
    "outcome",
    "error",
    "timing_ms",
    "bytes_in",
    "bytes_out",
    "replay_of",
}
_REQUEST = {"method", "target", "version", "headers"} | _BODY
_RESPONSE = {"status", "headers"} | _BODY
_ATTEMPT = {"url", "address", "reused", "status", "error", "token", "timing_ms"}
_PHASES = {"dns", "connect", "tls", "send", "first_byte", "body"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def read_records(path: Path) -> list[Record]:
    """Return the records of exchanges in the traffic log of a proxy that has stopped."""
    return [record for record in map(json.loads, path.read_text().splitlines()) if record["event"] == "exchange.closed"]


def check_answered(record: Record, *, has_whole_request: bool = True) -> None:
    """Assert that a record is what the contract says of an exchange whose answer was relayed whole.

    Args:
        record: As read.
        has_whole_request: False where the answer came before the request's end, which then never came.
    """
    assert record.keys() == _SHAPE
    assert record["request"].keys() == _REQUEST
    assert _RESPONSE <= record["response"].keys() <= _RESPONSE | {"body_decoded"}
    assert (record["outcome"], record["error"]) == ("ok", None)
    assert _MOMENT.fullmatch(record["ts"])
    assert record["bytes_in"] >= record["request"]["body_bytes"]
    assert record["bytes_out"] >= record["response"]["body_bytes"]
    assert record["timing_ms"].keys() == {"queue", "token", "total"}
    for attempt in record["attempts"]:
        assert attempt.keys() - {"authorization"} == _ATTEMPT
        assert attempt["timing_ms"].keys() == _PHASES
        assert all(value is None or value >= 0 for value in attempt["timing_ms"].values())
    last = record["attempts"][-1]
    assert (last["status"], last["error"]) == (record["response"]["status"], None)
    assert None not in (last["timing_ms"]["first_byte"], last["timing_ms"]["body"])
    assert (last["timing_ms"]["send"] is not None) == has_whole_request
