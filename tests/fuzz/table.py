"""The harnesses by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuzz import answers, chunks, heads, logins, redaction, requests, targets, token_answers

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Harness:
    """What is fuzzed.

    Attributes:
        fuzz_one: Takes any bytes; an AssertionError, or any other, is a defect.
        seeds: Inputs to begin with, written by hand.
        rounds: Inputs that the tests make of those that are kept, so that each harness takes about as long.
    """

    fuzz_one: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    rounds: int


HARNESSES: Final = {
    "answers": Harness(answers.fuzz_one, answers.SEEDS, 3000),
    "chunks": Harness(chunks.fuzz_one, chunks.SEEDS, 6000),
    "heads": Harness(heads.fuzz_one, heads.SEEDS, 6000),
    "logins": Harness(logins.fuzz_one, logins.SEEDS, 20_000),
    "redaction": Harness(redaction.fuzz_one, redaction.SEEDS, 1000),
    "requests": Harness(requests.fuzz_one, requests.SEEDS, 3000),
    "targets": Harness(targets.fuzz_one, targets.SEEDS, 6000),
    "token_answers": Harness(token_answers.fuzz_one, token_answers.SEEDS, 20_000),
}
