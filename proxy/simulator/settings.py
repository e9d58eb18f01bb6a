"""What the simulator answers to, and how.  Every field has a default: it runs with none given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from proxy.config.models import Model
from proxy.config.secret import Secret
from proxy.simulator.faults import Fault  # noqa: TC001 (pydantic needs it at run time)

Family = Literal["core", "edx", "both"]
TokenVariant = Literal[
    "documented",
    "misspelt",
    "strings",
    "cognito",
    "cognito_without_expires_in",
    "issued_at_in_seconds",
    "no_issued_at",
    "no_expires_in",
]


def _hide(value: object) -> object:
    return Secret(value, "simulator") if isinstance(value, str) else value


Hidden = Annotated[Secret, BeforeValidator(_hide)]
"""Given as text; printed as ``***``."""
Seconds = Annotated[float, Field(ge=0)]


class SimulatorSettings(Model):
    """One simulated host."""

    family: Family = "both"
    """``core``: api.rapidsos.com; ``edx``: the alerts host; ``both`` answers for the two."""
    client_id: str = "simulator-client"
    client_secret: Hidden = Secret("simulator-secret", "simulator")
    username: str = "dispatcher@psap.example"
    """The person of the password grant."""
    password: Hidden = Secret("simulator-password", "simulator")
    people: dict[str, Hidden] = Field(default_factory=dict)
    """More of them: passwords by user name."""
    basic_username: str = "simulator-lis"
    """The Basic credential of LIS and of the ELS hook."""
    basic_password: Hidden = Secret("simulator-lis-password", "simulator")
    token_life_s: Annotated[float, Field(gt=0)] = 3599.0
    token_variant: TokenVariant = "documented"  # noqa: S105 (a shape)
    """The shape of an answer with a token."""
    token_body: Literal["either", "strict_form", "json"] = "either"  # noqa: S105 (an encoding)
    """``either`` also takes JSON under a form header, as RapidSOS's own Python sample sends it; ``strict_form``
    and ``json`` take one encoding, labelled rightly."""
    client_auth: Literal["either", "body", "basic"] = "either"
    sla_s: Annotated[float, Field(gt=0)] = 30.0
    """How long an alert waits to be accepted before it is TIMEOUT; for a host with a world of its own."""
    list_interval_s: Seconds = 0.0
    """A client that lists alerts again sooner gets 429, as RapidSOS forbids polling.  0: never, so that a
    rehearsal can look as often as it likes."""
    keep_requests: Annotated[int, Field(ge=1)] = 1000
    keep_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """Of the request bodies kept to be looked at, all together; a longer single body is refused with 413, but
    for the sink."""
    keep_alive_s: Annotated[float, Field(gt=0)] = 75.0
    """How long an idle connection stays open."""
    faults: tuple[Fault, ...] = ()
