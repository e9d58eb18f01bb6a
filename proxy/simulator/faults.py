"""Which fault a request meets.

The rule of this file: it decides and counts, and does nothing.  misbehaviour.py carries the fault out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from proxy.config.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Where = Literal["token", "api"]
Kind = Literal[
    "slow",
    "stall",
    "stall_body",
    "status",
    "unauthorized",
    "garbage",
    "html",
    "empty",
    "fields",
    "oversize",
    "revoke",
    "echo_secret",
    "redirect",
    "reset",
    "reset_body",
    "close",
    "close_body",
]


class Fault(Model):
    """One way to misbehave, and when."""

    where: Where
    """``token``: the token endpoints; ``api``: everything else but the control URLs."""
    kind: Kind
    """What happens:

    ``slow``          ``delay_s`` pass, then the usual answer.
    ``stall``         silence until ``release``, then the usual answer.
    ``stall_body``    the head and half of a body of ``size_bytes``; the rest at ``release``.
    ``status``        an error: ``status`` (500), ``shape`` and ``retry_after``.
    ``unauthorized``  401, whatever was presented.
    ``garbage``       200 and broken JSON.
    ``html``          200 and a web page.
    ``empty``         200 and no body.
    ``fields``        the usual JSON answer with ``fields`` replaced and ``drop`` left out.
    ``oversize``      the usual JSON answer, padded to ``size_bytes`` (6 MB).
    ``revoke``        every token dies, then the usual answer, which on an API call is 401.
    ``echo_secret``   401 with the whole request, the secret in it, quoted.
    ``redirect``      ``status`` (307) to ``location``.
    ``reset``         TCP reset after the request was read, before any answer.
    ``reset_body``    TCP reset after half of the body.
    ``close``         an orderly close without any answer.
    ``close_body``    an orderly close after half of the body.
    """
    path: str = ""
    """Only targets that begin so."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How many requests meet it; None: all, until it is cleared."""
    delay_s: Annotated[float, Field(ge=0)] = 1.0
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    shape: Literal["detail", "gateway"] = "detail"
    """Whose error body: the API's or its gateway's."""
    retry_after: int | str | None = None
    size_bytes: Annotated[int, Field(ge=2)] | None = None
    chunked: bool = False
    """For the ``_body`` kinds: chunked instead of Content-Length."""
    location: str = "https://elsewhere.invalid/oauth/token"
    fields: dict[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Faults:
    """The faults switched on, in order; the first that fits a request is met."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """Switch on ``faults``."""
        self._active = list(faults)

    def __iter__(self) -> Iterator[Fault]:
        """Iterate over what is still on; ``times`` is what is left."""
        return iter(list(self._active))

    def __len__(self) -> int:
        """Return how many are on."""
        return len(self._active)

    def add(self, *faults: Fault) -> None:
        """Switch on more, behind those already on."""
        self._active.extend(faults)

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def take(self, where: Where, target: str) -> Fault | None:
        """Return the fault for a request to ``target``, or None; one of its ``times`` is used up."""
        for index, fault in enumerate(self._active):
            if fault.where == where and target.startswith(fault.path):
                self._use(index, fault)
                return fault
        return None

    def _use(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times == 1:
            del self._active[index]
        else:
            self._active[index] = fault.model_copy(update={"times": fault.times - 1})
