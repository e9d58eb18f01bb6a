"""Fuzz for a time: ``PYTHONPATH=tests python -m fuzz [NAME ...] [--seconds N] [--keep]``.

Under atheris inputs are chosen by the code that they reach; without it they are changed blindly, from a new seed each
time.  What breaks a harness is written to ``.fuzz/NAME``, and said; so is how to run it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import proxy
from fuzz.corpus import read_corpus, write_corpus
from fuzz.mutation import LONGEST, mutate
from fuzz.table import HARNESSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

WORK = Path(".fuzz")
PRODUCT = str(Path(proxy.__file__).parent)
INPUT_TIMEOUT_S = 10
"""For one input; it takes a millisecond, and more than this is a hang."""
LONGEST_KEPT = 256
"""Bytes of an input that goes into the corpus of the tests."""
EXECUTED = re.compile(rb"stat::number_of_executed_units: (\d+)")
TELLING = re.compile(rb"^(?:SUMMARY:.*|.*Test unit written to.*|Traceback.*|\w*Error:.*)$", re.MULTILINE)
"""The lines of libFuzzer, and of a start that failed, that say what is wrong."""
MOST_SAID = 4000
NO_ATHERIS = (
    "atheris is not installed, so inputs are changed blindly; to be led by coverage (Linux, CPython):"
    " .venv/bin/python -m pip install 'atheris>=3,<4'\n"
)


@dataclass(frozen=True)
class Run:
    """How one harness fared.

    Attributes:
        executed: Inputs tried.
        failure: What it says of itself; empty without one.
    """

    executed: int
    failure: str


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Look for inputs that break what reads foreign bytes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"harnesses ({', '.join(HARNESSES)}); all of them")
    parser.add_argument("--seconds", type=int, default=60, help="for each harness (60)")
    parser.add_argument("--keep", action="store_true", help="add to tests/fuzz/corpus what reaches new code")
    parser.add_argument("--file", type=Path, help="run one harness on one file, to see a failure again")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(HARNESSES):
        parser.error(f"no harness is called {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}")
    if options.file is not None and len(options.names) != 1:
        parser.error("--file needs the name of one harness")
    return options


def prepare(name: str) -> Path:
    """Write the inputs known to files, as libFuzzer wants them; return their directory."""
    place = WORK / name / "inputs"
    place.mkdir(parents=True, exist_ok=True)
    for data in (*HARNESSES[name].seeds, *read_corpus(name)):
        (place / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return place


def run_guided(name: str, seconds: int) -> Run:
    """Fuzz by coverage."""
    limits = (f"-max_len={LONGEST}", f"-max_total_time={seconds}", f"-timeout={INPUT_TIMEOUT_S}", "-rss_limit_mb=1024")
    files = (f"-artifact_prefix={WORK / name}/", str(prepare(name)))
    command = [sys.executable, "-m", "fuzz.guided", name, *limits, "-print_final_stats=1", *files]
    done = subprocess.run(command, capture_output=True, check=False)
    found = EXECUTED.search(done.stderr)
    said = (done.stdout[-MOST_SAID:] + b"\n".join(TELLING.findall(done.stderr))).decode(errors="replace")
    return Run(int(found[1]) if found else 0, f"{said}\n" if done.returncode else "")


def run_blindly(name: str, seconds: int) -> Run:
    """Fuzz by chance."""
    random, harness = Random(), HARNESSES[name]
    inputs = [*harness.seeds, *read_corpus(name)]
    executed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(random, inputs)
        executed += 1
        try:
            harness.fuzz_one(data)
        except Exception as error:  # noqa: BLE001 (whatever it raises is what is looked for)
            path = WORK / name / f"crash-{hashlib.sha1(data).hexdigest()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return Run(executed, f"{type(error).__name__}: {error}\nwritten to {path}\n")
        inputs.append(data) if executed % 64 == 0 and len(inputs) < 1000 else None
    return Run(executed, "")


def keep(name: str) -> int:
    """Keep the short inputs that reach more than those that are shorter; return how many there are."""
    harness, seen, kept = HARNESSES[name], set(), []
    for data in harness.seeds:
        seen |= trace(harness.fuzz_one, data)
    found = {path.read_bytes() for path in prepare(name).iterdir()}
    for data in sorted(found, key=lambda data: (len(data), data)):
        if len(data) <= LONGEST_KEPT and (reached := trace(harness.fuzz_one, data) - seen):
            seen |= reached
            kept.append(data)
    if kept:
        write_corpus(name, [*kept, *read_corpus(name)])
    return len(kept)


def trace(work: Callable[[bytes], None], data: bytes) -> set[tuple[str, int, int]]:
    """Return the steps from line to line in the product that ``work`` takes."""
    steps: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(PRODUCT):
            return None
        last = 0

        def step(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any]:
            nonlocal last
            steps.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work(data)
    finally:
        sys.settrace(before)
    return steps


def main(arguments: list[str] | None = None) -> int:
    """Run the harnesses one after the other; return 1 if any was broken."""
    options = parse_arguments(arguments)
    if options.file is not None:
        HARNESSES[options.names[0]].fuzz_one(options.file.read_bytes())
        return 0
    is_guided = importlib.util.find_spec("atheris") is not None
    if not is_guided:
        sys.stdout.write(NO_ATHERIS)
    failed = False
    for name in options.names or HARNESSES:
        run = (run_guided if is_guided else run_blindly)(name, options.seconds)
        failed |= bool(run.failure)
        verdict = "FOUND something" if run.failure else "nothing found"
        sys.stdout.write(f"{name:14} {run.executed:>10} inputs in {options.seconds} s: {verdict}\n{run.failure}")
        if run.failure:
            sys.stdout.write(
                f"to see it again: PYTHONPATH=tests python -m fuzz {name} --file {WORK / name}/crash-...\n"
            )
        if options.keep:
            sys.stdout.write(f"{'':14} {keep(name):>10} inputs kept\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
