"""HTTP clients that no one here wrote, and how each is sent on errands.

The rule of this file: a client gets what its user would give it, a URL and perhaps a proxy, and nothing that makes
our part easier.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.site import CORE, DNS, EDX, Way
from harness.tools import find_tool, run_tool

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = Path(__file__).parents[1] / "integration" / "clients" / "programs"
LOGIN = "Basic Y2xpZW50OnBhc3N3b3Jk"
"""What every client sends as its own Authorization, which must go nowhere."""
_STATUS = re.compile(r"^  HTTP/1\.[01] (\d{3})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Errand:
    """One request to make, and the answer that must come of it.

    Attributes:
        path: With its query, as the upstream must receive it.
        body: None for a request without one.
        is_chunked: Whether the client is not to know the body's length beforehand.
        answer: Its body.
    """

    host: str
    path: str
    method: str = "GET"
    body: bytes | None = None
    is_chunked: bool = False
    status: int = 200
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a client brought home: a status and a body."""

    status: int
    answer: bytes


class Client(Protocol):
    """One client."""

    can_chunk: bool
    """Whether it can send a body without knowing its length."""

    async def run(self, way: Way, errands: Sequence[Errand], folder: Path) -> list[Brought]:
        """Run the errands in order; ``folder`` is for bodies both ways."""
        ...


class Curl:
    """curl, all errands on one command line, so that it keeps its connection."""

    def __init__(self, version: str) -> None:
        """Speak ``version``, ``1.0`` or ``1.1``."""
        self.can_chunk = version == "1.1"
        self._version = f"--http{version}"

    async def run(self, way: Way, errands: Sequence[Errand], folder: Path) -> list[Brought]:
        """Run the errands."""
        answers = _prepare(errands, folder)
        command: list[str] = [find_tool("curl"), "--disable"]
        for number, errand in enumerate(errands):
            command += ["--next"] if number else []
            command += self._build_arguments(way, errand, answers[number])
        done = (await run_tool(*command)).check()
        return _collect(done.output, answers)

    def _build_arguments(self, way: Way, errand: Errand, answer: Path) -> list[str]:
        arguments = [self._version, *curl_arguments(way), "--write-out", "%{http_code}\n"]
        if errand.method == "HEAD":
            arguments += ["--head", "--output", os.devnull]  # or it would write the head there
        else:
            arguments += ["--output", str(answer)]
        if errand.body is not None:
            body = answer.with_suffix(".body")
            arguments += ["--upload-file", str(body)] if errand.method == "PUT" else ["--data-binary", f"@{body}"]
        if errand.is_chunked:
            arguments += ["--header", "Transfer-Encoding: chunked"]
        return [*arguments, way.url(errand.host, errand.path)]


def curl_arguments(way: Way) -> list[str]:
    """Return what points curl at the proxy, and what keeps it from changing or decorating anything."""
    arguments = ["--silent", "--show-error", "--path-as-is", "--globoff", "--header", f"Authorization: {LOGIN}"]
    if way.proxy:
        arguments += ["--proxy", way.proxy]
    if way.name == DNS:
        for host in (CORE, EDX):
            arguments += ["--resolve", f"{host}:{way.port}:127.0.0.1"]
    return arguments


class Wget:
    """wget, one process an errand."""

    can_chunk = False

    async def run(self, way: Way, errands: Sequence[Errand], folder: Path) -> list[Brought]:
        """Run the errands."""
        answers = _prepare(errands, folder)
        brought = []
        for errand, answer in zip(errands, answers, strict=True):
            command = [find_tool("wget"), "--no-config", "--server-response", "--tries=1", "--content-on-error"]
            command += [f"--method={errand.method}", f"--output-document={answer}", f"--header=Authorization: {LOGIN}"]
            if errand.body is not None:
                command.append(f"--body-file={answer.with_suffix('.body')}")
            environ = {"http_proxy": way.proxy} if way.proxy else None
            done = await run_tool(*command, *self._build_address(way, errand), environ=environ)
            brought.append(Brought(int(_STATUS.findall(done.errors)[-1]), _read(answer)))
        return brought

    @staticmethod
    def _build_address(way: Way, errand: Errand) -> list[str]:
        """Return the URL; wget cannot be told what a name resolves to, but what to write into Host."""
        url = way.url(errand.host, errand.path)
        if way.name != DNS:
            return [url]
        host_field = way.host_field(errand.host)
        return [f"--header=Host: {host_field}", url.replace(host_field, f"127.0.0.1:{way.port}", 1)]


class Program:
    """A program beside the tests that uses a library; it takes a proxy as its argument, and errands as lines.

    A line is method, URL, framing (``none``, ``length``, ``chunked``), file of the body, file for the answer's,
    Authorization, between tabs; for each it prints the answer's status.
    """

    can_chunk = True

    def __init__(self, tool: str, *command: str) -> None:
        """Run ``command`` with ``tool``; ``{programs}`` in it is their folder."""
        self._tool = tool
        self._command = command

    async def run(self, way: Way, errands: Sequence[Errand], folder: Path) -> list[Brought]:
        """Run the errands."""
        answers = _prepare(errands, folder)
        (folder / "hosts").write_text(f"127.0.0.1 {CORE}\n127.0.0.1 {EDX}\n")
        command = [part.format(programs=PROGRAMS, folder=folder) for part in self._command]
        lines = [self._build_line(way, errand, answer) for errand, answer in zip(errands, answers, strict=True)]
        environ = {"http_proxy": way.proxy} if way.proxy else None
        done = await run_tool(
            find_tool(self._tool), *command, way.proxy or "-", stdin="".join(lines).encode(), environ=environ
        )
        return _collect(done.check().output, answers)

    @staticmethod
    def _build_line(way: Way, errand: Errand, answer: Path) -> str:
        framing = "none" if errand.body is None else "chunked" if errand.is_chunked else "length"
        url = way.url(errand.host, errand.path)
        return "\t".join((errand.method, url, framing, str(answer.with_suffix(".body")), str(answer), LOGIN)) + "\n"


def _prepare(errands: Sequence[Errand], folder: Path) -> list[Path]:
    """Write the bodies to send; return where each answer's goes."""
    answers = [folder / f"{number}.answer" for number in range(len(errands))]
    for errand, answer in zip(errands, answers, strict=True):
        if errand.body is not None:
            answer.with_suffix(".body").write_bytes(errand.body)
    return answers


def _collect(statuses: bytes, answers: Sequence[Path]) -> list[Brought]:
    """Put the statuses that a program printed beside the bodies that it wrote."""
    return [Brought(int(status), _read(answer)) for status, answer in zip(statuses.split(), answers, strict=True)]


def _read(answer: Path) -> bytes:
    return answer.read_bytes() if answer.exists() else b""
