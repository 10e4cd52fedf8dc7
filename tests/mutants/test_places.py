"""The code is as `make mutants` takes it to be: each mutant has one place to go to."""

import pytest

from tests.conftest import ROOT
from tests.mutants.__main__ import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_has_its_place(mutant: Mutant) -> None:
    assert (ROOT / "shared" / mutant.file).read_text().count(mutant.text) == 1
