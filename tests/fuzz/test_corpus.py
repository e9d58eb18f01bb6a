"""Every harness on what is kept, and on some thousand inputs made of that; ``make fuzz`` goes on from there."""

from __future__ import annotations

from random import Random

import pytest

from fuzz.corpus import read_corpus
from fuzz.mutation import mutations
from fuzz.table import HARNESSES

SEED = 20_261_124


@pytest.mark.parametrize("name", HARNESSES)
def test_inputs_kept_break_nothing(name):
    """What once reached new code, or broke something."""
    for data in (*HARNESSES[name].seeds, *read_corpus(name)):
        HARNESSES[name].fuzz_one(data)


@pytest.mark.parametrize("name", HARNESSES)
def test_inputs_made_of_them_break_nothing(name):
    """The same ones in every run: a failure is to be seen again."""
    harness = HARNESSES[name]
    inputs = [*harness.seeds, *read_corpus(name)]
    for data in mutations(Random(SEED), inputs, harness.rounds):
        try:
            harness.fuzz_one(data)
        except Exception as error:
            error.add_note(f"found by {data!r}; keep it in tests/fuzz/corpus/{name}.txt")
            raise
