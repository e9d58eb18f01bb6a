"""Handshakes on one listener: how much of a turn they have, and those that failed, counted all and told of in measure.

The rule of this file: nothing fails in silence, and nobody fills the log.  A client is told of once a minute for each
reason; what is between is counted, in the metric and in the next line.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from proxy.http.authority import find_share
from proxy.tls import TOO_OLD

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_S: Final = 60.0
"""Seconds before one client's failure for one reason is told of again."""
MOST_TOLD: Final = 100
"""Lines in that time, for all clients and reasons together."""
MOST_S: Final = 0.005
"""Seconds of one turn of the loop for them, and for many records at once: a thousand may come in one turn."""
_REFUSES_OURS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
_NOTHING_COMMON = TOO_OLD | {
    "NO_SHARED_CIPHER",
    "NO_SUITABLE_KEY_SHARE",
    "NO_SUITABLE_SIGNATURE_ALGORITHM",
    "VERSION_TOO_LOW",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a handshake came to nothing, or TLS ended a connection later.

    Attributes:
        reason: A word for metrics.
        problem: What was found.
        fix: The next step.
    """

    reason: str
    problem: str
    fix: str


NOT_TLS = Failure(
    "not_tls", "what it sent is neither TLS nor HTTP", "find out what is on that machine that speaks to this port"
)
LEFT = Failure(
    "left",
    "it closed in the middle of the handshake",
    "it may not trust the listener's certificate: give it the authority's certificate, or look into its own log",
)
TOO_SLOW = Failure(
    "timeout",
    "it did not finish the handshake in time",
    "see whether it is well, and the network to it; timeouts.head is how long it has",
)
WRONG_NAME = Failure(
    "wrong_name",
    "it asked for a tunnel to one host, and in it for the certificate of another",
    "see its settings, and what stands between it and the proxy",
)
TOO_LONG = Failure(
    "too_long",
    "its handshake is longer than 16 KiB",
    "have it send its own certificate and those that signed it, and no more",
)
EMPTY_RECORDS = Failure(
    "empty_records",
    "it sent more than 32 TLS records in a row that carry nothing, such as KeyUpdate",
    "find out what is on that machine: a client that is well does not",
)
UNREAD_ANSWERS = Failure(
    "unread_answers",
    "it had TLS answer again and again (KeyUpdate) and did not read that",
    EMPTY_RECORDS.fix,
)
AFTER_END = Failure(
    "after_end", "it went on sending after it had said that nothing follows (close_notify)", EMPTY_RECORDS.fix
)
_BY_REASON = {
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": Failure(
        "bad_record",
        "a TLS record came that is not as it was sent: damaged or forged on the way",
        "look for faulty hardware, or a machine that changes what it forwards, between it and the proxy",
    ),
    "CALLBACK_FAILED": WRONG_NAME,  # of the name that the client has sent (proxy.ca.authority)
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Failure(
        "no_client_certificate",
        "it showed no certificate",
        "give it a certificate by an authority in tls.client_ca, or remove tls.client_ca",
    ),
    "WRONG_CURVE": Failure(
        "client_certificate",
        "the key of its certificate is on a curve that is not taken under TLS 1.2",
        "give it a certificate with an RSA or P-256 key, or have it speak TLS 1.3",
    ),
}


def explain_failure(error: ssl.SSLError) -> Failure:
    """Explain OpenSSL's reason for giving a handshake up."""
    reason = error.reason or "unknown"
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = "give it a certificate that an authority in tls.client_ca has signed and that has not expired"
        return Failure("client_certificate", f"its certificate was not accepted: {error.verify_message}", fix)
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if reason in _REFUSES_OURS:
        fix = "give it the certificate of the authority that signed the listener's, and use a name that stands in it"
        return Failure("certificate_refused", f"it refused the listener's certificate ({reason})", fix)
    if reason in _NOTHING_COMMON:
        fix = "update it: TLS 1.2 is the least; or have it speak plain http to another listener"
        return Failure("nothing_common", f"it offers nothing that may be used ({reason})", fix)
    if "_ALERT_" in reason:
        return Failure("gave_up", f"it gave up ({reason})", "its own log says why")
    fix = "compare what it offers with what `openssl s_client -connect` shows of this port"
    return Failure("other", f"TLS failed ({reason})", fix)


class Handshakes:
    """Those of one listener.

    Attributes:
        failures: How many, by reason, since the start.
    """

    def __init__(
        self, listener: str, clock: Callable[[], float], explain: Callable[[Failure], Failure] = lambda failure: failure
    ) -> None:
        """Begin with none.

        Args:
            listener: Its name.
            clock: Gives monotonic seconds.
            explain: Says of a failure what is to be done about it here.
        """
        self.failures: Counter[str] = Counter()
        self._listener = listener
        self._clock = clock
        self._explain = explain
        self._told_at: dict[tuple[str, str], float] = {}
        self._untold = 0
        self._begun_at: float | None = None

    def has_time(self) -> bool:
        """Return whether a costly step may be taken in this turn; the first always, so that each brings some on."""
        now = self._clock()
        if self._begun_at is None:
            self._begun_at = now
            asyncio.get_running_loop().call_soon(self._end_turn)
        return now - self._begun_at < MOST_S

    def _end_turn(self) -> None:
        self._begun_at = None

    def fail(self, client: str, failure: Failure, *, is_over: bool = False) -> None:
        """Count a failure of the client at an address, and tell of it unless that was done a moment ago.

        Args:
            client: The address.
            failure: What went wrong.
            is_over: Whether the handshake had been done before.
        """
        self.failures[failure.reason] += 1
        now = self._clock()
        self._told_at = {key: at for key, at in self._told_at.items() if now - at < QUIET_S}
        key = (find_share(client), failure.reason)
        if key in self._told_at or len(self._told_at) >= MOST_TOLD:
            self._untold += 1
            return
        self._told_at[key] = now
        untold, self._untold = self._untold, 0
        failure = self._explain(failure)
        log.warning(
            "tls.failed" if is_over else "handshake.failed",
            listener=self._listener,
            client=client,
            reason=failure.reason,
            problem=failure.problem,
            fix=failure.fix,
            untold_before=untold,
        )
