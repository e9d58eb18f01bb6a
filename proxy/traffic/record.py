"""The record of an exchange: the contract's shape, filled from what the relay has written down.

The rule of this file: it shows what was received and sent, with secrets masked by name.  Times become milliseconds,
durations of phases that did not happen null.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.exchange import CLIENT_LEFT, CLIENT_LEFT_STATUS
from proxy.http.stub import is_token_call
from proxy.traffic.decode import describe_body, withhold_body
from proxy.traffic.heads import URL_FIELDS, build_head_mask, mask_authorization
from proxy.traffic.names import MASK, SecretNames
from proxy.traffic.values import mask_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.exchange import Attempt, Body, Exchange
    from proxy.http.fields import Fields, FieldSection
    from proxy.http.head import RequestHead
    from proxy.tokens.token import TokenFetch
    from proxy.traffic.redact import Redactor

Record = dict[str, Any]

EXCHANGE_CLOSED = "exchange.closed"
TOKEN_FETCHED = "token.fetched"  # noqa: S105 (an event, not a password) # nosec B105
_MILLISECONDS = tuple(f"{number:03d}Z" for number in range(1000))
_OF_TOKEN_CALL = "it is of a call for a token"  # noqa: S105 (a reason, not a password) # nosec B105
_VERSIONS = ("HTTP/1.0", "HTTP/1.1")
_NO_DIAL: Record = {"dns": None, "connect": None, "tls": None}


class Timestamps:
    """Writes moments in RFC 3339; the part that stays the same for a second is kept."""

    def __init__(self) -> None:
        """Start with no second."""
        self._second = -1
        self._text = ""

    def build(self, at: float) -> str:
        """Return seconds since the epoch as UTC with milliseconds."""
        second = int(at)
        if second != self._second:
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            self._second = second
        return self._text + _MILLISECONDS[int((at - second) * 1000)]


class RecordBuilder:
    """Builds the records of one worker."""

    def __init__(
        self,
        *,
        cap: int,
        shows_tokens: bool,
        mask: Iterable[str] = (),
        covers: Mapping[bytes, Callable[[bytes], bytes]] | None = None,
        worker: int = 0,
        seq: int = 0,
    ) -> None:
        """Keep how much may be shown.

        Args:
            cap: Bytes of each body.
            shows_tokens: Whether Bearer tokens stand in the record, or their fingerprints.
            mask: Names of fields that are masked beyond those that are built in.
            covers: For those of them that are shown in part; see ``SecretNames``.
            worker: Number of the process among its siblings.
            seq: Of the last record before.
        """
        self._cap = cap
        self._shows_tokens = shows_tokens
        self._names = SecretNames(mask, covers)
        self._mask_fields = build_head_mask(self._names, shows_tokens=shows_tokens)
        self._worker = worker
        self._timestamps = Timestamps()
        self._seq = seq

    @property
    def seq(self) -> int:
        """Of the last record."""
        return self._seq

    def build_exchange(self, exchange: Exchange, redactor: Redactor) -> Record:
        """Build the record of a closed exchange; its moment is that of the close.

        Args:
            exchange: It does not change any more.
            redactor: For what a search of the rendered line would not find.
        """
        total_s = exchange.ended - exchange.started
        token_expires_in_s = exchange.token_expires_in_s
        error = exchange.error
        self._seq += 1
        request = self._build_request(exchange.request, exchange.request_body, redactor)
        record: Record = {
            "ts": self._timestamps.build(exchange.started_at + total_s),
            "seq": self._seq,
            "worker": self._worker,
            "event": EXCHANGE_CLOSED,
            "id": exchange.id,
            "listener": exchange.listener,
            "client": exchange.client,
            "user": self._mask_user(exchange),
            "client_cert": exchange.client_cert,
            "route": exchange.route,
            "credential": exchange.credential,
            "request": request,
            "attempts": self._build_attempts(exchange, request, redactor),
            "response": self._build_response(exchange, redactor),
            "token_expires_in_s": None if token_expires_in_s is None else token_expires_in_s * 1000 // 1 / 1000,
            "outcome": exchange.outcome,
            "error": None if error is None else error.slug,
            "timing_ms": {
                # As _ms does it, which would be three calls more.
                "queue": exchange.queue_s * 1_000_000 // 1 / 1000,
                "token": exchange.token_wait_s * 1_000_000 // 1 / 1000,
                "total": total_s * 1_000_000 // 1 / 1000,
            },
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "replay_of": None,
        }
        if exchange.connect is not None:
            record["connect"] = exchange.connect.id
        if exchange.request is not None and is_token_call(exchange.request):
            _withhold_token_call(record, exchange)
        return record

    def build_token_fetch(self, fetch: TokenFetch, at: float) -> Record:
        """Build the record of a token call that ended at ``at``, in seconds since the epoch."""
        return {
            **self._begin(TOKEN_FETCHED, at),
            "credential": fetch.credential,
            "user": fetch.user,
            "grant": fetch.grant,
            "token_url": mask_url(fetch.token_url, self._names),
            "reason": fetch.reason,
            "outcome": fetch.outcome,
            "status": fetch.status,
            "detail": fetch.detail,
            "token": fetch.fingerprint,
            "life_s": fetch.life_s,
            "timing_ms": {"total": _ms(fetch.seconds)},
        }

    def build_event(self, event: str, at: float, details: Record) -> Record:
        """Build the record of something that happened to the log itself."""
        return {**self._begin(event, at), **details}

    def build_timestamp(self, at: float) -> str:
        """Return a moment as records show it."""
        return self._timestamps.build(at)

    def _begin(self, event: str, at: float) -> Record:
        self._seq += 1
        return {"ts": self._timestamps.build(at), "seq": self._seq, "worker": self._worker, "event": event}

    def _build_request(self, head: RequestHead | None, body: Body, redactor: Redactor) -> Record | None:
        if head is None:
            return None
        return {
            "method": head.method,
            "target": self._mask_url(head.target, redactor),
            "version": _VERSIONS[head.minor],
            "headers": self._build_fields(head.section, redactor),
            **describe_body(body, head, self._cap, redactor, self._names),
        }

    def _build_response(self, exchange: Exchange, redactor: Redactor) -> Record | None:
        head = exchange.response
        if head is None:
            return {"status": CLIENT_LEFT_STATUS} if exchange.outcome == CLIENT_LEFT else None
        return {
            "status": head.status,
            "headers": self._build_fields(head.section, redactor),
            **describe_body(exchange.response_body, head, self._cap, redactor, self._names),
        }

    def _mask_user(self, exchange: Exchange) -> str | None:
        """Return who asked; if the field that says so is masked, what is shown of it."""
        named_by = exchange.named_by
        if named_by is None or not self._names.is_added(named_by):
            return exchange.user
        return MASK if exchange.user is None else self._names.cover_field(named_by, exchange.user)

    def _build_fields(self, section: FieldSection, redactor: Redactor) -> Fields:
        shown = section.derive(self._mask_fields)
        if shown is section.fields:
            return shown
        return [
            (field[0], self._mask_url(value, redactor)) if name in URL_FIELDS and value != field[1] else field
            for field, name, (_, value) in zip(shown, section.names, section.fields, strict=True)
        ]

    def _mask_url(self, url: str, redactor: Redactor) -> str:
        """Mask a URL by name; where that masks something, by value before: a secret with a ``&`` goes on behind it."""
        masked = mask_url(url, self._names)
        return masked if masked == url else mask_url(redactor.mask(url), self._names)

    def _build_attempts(self, exchange: Exchange, request: Record | None, redactor: Redactor) -> list[Record]:
        attempts = [_build_attempt(attempt) for attempt in exchange.attempts]
        head = exchange.request
        # An attempt asks for what the target says, less a prefix: where nothing was masked, nothing is to be.
        if request is not None and head is not None and request["target"] != head.target:
            for attempt in attempts:
                attempt["url"] = self._mask_url(attempt["url"], redactor)
        if attempts and self._shows_tokens and (sent := exchange.sent_authorization) is not None:
            attempts[-1]["authorization"] = mask_authorization(sent, shows_tokens=True)
        return attempts


def _withhold_token_call(record: Record, exchange: Exchange) -> None:
    """Take out of the record of a call for a token whatever may hold a secret, under any name and in any shape.

    What the proxy says of its own failure stays.
    """
    request = record["request"]
    request["target"] = _without_query(request["target"])
    record["request"] = _without_body(request, exchange.request_body)
    for attempt in record["attempts"]:
        attempt["url"] = _without_query(attempt["url"])
    if exchange.response is not None and exchange.error is None:
        record["response"] = _without_body(record["response"], exchange.response_body)


def _without_query(target: str) -> str:
    path, mark, _ = target.partition("?")
    return f"{path}?{MASK}" if mark else path


def _without_body(message: Record, body: Body) -> Record:
    kept = {key: value for key, value in message.items() if not key.startswith("body")}
    return {**kept, **withhold_body(body, _OF_TOKEN_CALL)}


def _build_attempt(attempt: Attempt) -> Record:
    sent_at, request_done_at, first_byte_at = attempt.sent_at, attempt.request_done_at, attempt.first_byte_at
    waits_from = request_done_at
    if waits_from is None or (first_byte_at is not None and first_byte_at < waits_from):
        # The answer came before the request was all sent: it was waited for since the head.
        waits_from = sent_at
    return {
        "url": attempt.url,
        "address": attempt.address,
        "reused": attempt.reused,
        "status": attempt.status,
        "error": attempt.error,
        "token": attempt.fingerprint,
        "timing_ms": {
            **(_NO_DIAL if attempt.reused else _build_dial(attempt)),
            "send": _between_ms(sent_at, request_done_at),
            "first_byte": _between_ms(waits_from, first_byte_at),
            "body": _between_ms(first_byte_at, attempt.ended_at),
        },
    }


def _build_dial(attempt: Attempt) -> Record:
    return {"dns": _ms(attempt.dns_s), "connect": _ms(attempt.connect_s), "tls": _ms(attempt.tls_s)}


def _ms(seconds: float | None) -> float | None:
    # Floor and not round(), which costs twice as much; no clock is good to a microsecond.
    return None if seconds is None else seconds * 1_000_000 // 1 / 1000


def _between_ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1_000_000 // 1 / 1000
