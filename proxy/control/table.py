"""What people are shown of credentials: a table, and a few lines for each that needs attention.

The rule of this file: pure; spans of time are as long as a person wants them, and a token is its fingerprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.describe import build_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.tokens.token import CredentialStatus

HEAD = ("CREDENTIAL", "STATE", "TOKEN", "EXPIRES IN", "NEXT CALL IN", "CLOCK SKEW")
NOTHING = "-"
MINUTE, HOUR, DAY = 60, 3600, 86_400


def build_status(credentials: Sequence[CredentialStatus]) -> str:
    """Build the table, and under it what went wrong, with the next step."""
    lines = [line.removeprefix("  ") for line in build_table([HEAD, *map(_build_row, credentials)])]
    for credential in credentials:
        lines += _build_error(credential)
    return "\n".join(lines)


def tell_state(credential: CredentialStatus) -> str:
    """Say in a word or two how a credential stands."""
    if credential.grant == "basic":
        return "constant"
    well = "usable" if credential.people is None else f"per person, {credential.people} here"
    if credential.usable:
        return well if credential.last_error is None else f"{well}, failing"
    return "NO TOKEN" if credential.people is None else f"{well}, NO TOKEN"


def tell_span(seconds: float | None) -> str:
    """Say how long something is, in its two largest units."""
    if seconds is None:
        return NOTHING
    whole = max(0, round(seconds))
    for unit, name, smaller, smaller_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {smaller_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def _build_row(credential: CredentialStatus) -> Sequence[str]:
    return (
        credential.name,
        tell_state(credential),
        credential.fingerprint or NOTHING,
        tell_span(credential.expires_in_s),
        tell_span(credential.next_refresh_in_s),
        NOTHING if credential.skew_s is None else f"{credential.skew_s:+.1f} s",
    )


def _build_error(credential: CredentialStatus) -> Iterator[str]:
    if credential.last_error is not None:
        yield ""
        yield f"{credential.name}: {tell_span(credential.last_error_ago_s)} ago: {credential.last_error}"
        yield f"  next step: {credential.next_step}"
