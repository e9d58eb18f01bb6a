"""Bad days with a name, for rehearsals: ``rapidsos-proxy simulate --scenario NAME``."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Scenario:
    """A set of faults, and what to watch for."""

    summary: str
    faults: tuple[Fault, ...] = ()


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "calm": Scenario("everything works"),
        "token-down": Scenario(
            "the token server answers 503; traffic goes on until the last token has expired",
            (Fault(where="token", kind="status", status=503),),
        ),
        "token-slow": Scenario(
            "each token takes eight seconds; no request waits while an older token is valid",
            (Fault(where="token", kind="slow", delay_s=8),),
        ),
        "token-throttled": Scenario(
            "the token server answers 429 and asks for ten seconds of peace, three times",
            (Fault(where="token", kind="status", status=429, retry_after=10, times=3),),
        ),
        "token-garbled": Scenario(
            "the token server answers with a web page",
            (Fault(where="token", kind="html"),),
        ),
        "key-revoked": Scenario(
            "an administrator revokes the tokens once; the next request gets a new one and goes through",
            (Fault(where="api", kind="revoke", times=1),),
        ),
        "rights-missing": Scenario(
            "the API answers 401 whatever the token; the proxy must not hammer the token server",
            (Fault(where="api", kind="unauthorized"),),
        ),
        "api-down": Scenario(
            "the API answers 500",
            (Fault(where="api", kind="status"),),
        ),
        "api-slow": Scenario(
            "each answer of the API takes three seconds",
            (Fault(where="api", kind="slow", delay_s=3),),
        ),
        "api-cut": Scenario(
            "each answer of the API is reset half-way; the client must see the cut",
            (Fault(where="api", kind="reset_body"),),
        ),
        "api-silent": Scenario(
            "the API takes requests and never answers",
            (Fault(where="api", kind="stall"),),
        ),
    }
)
