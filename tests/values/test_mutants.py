"""The search can fail: it finds each way in which the product could go wrong, within a few hundred examples."""

from __future__ import annotations

import pytest

from tests.values.bench import Bench
from tests.values.examples import ONE_BATCH
from tests.values.mutants import MUTANTS
from tests.values.search import one_round

_EXAMPLES = 400


@pytest.mark.nightly
@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_product_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    with Bench() as bench:
        (broken,) = one_round(bench, ONE_BATCH, _EXAMPLES, 0, smallest=False)
    assert "sent" in broken or "takes what is malformed" in broken
