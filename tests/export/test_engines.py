"""The file runs unchanged in other engines, and draws the same pictures there."""

from __future__ import annotations

import pytest

from tests.export.engines import BATCHES, ENGINES, MissingEngineError, compare
from tests.export.exported import Exported


@pytest.mark.parametrize("engine", ENGINES)
def test_another_engine_draws_the_same(engine: str, exported: Exported) -> None:
    for n in BATCHES:
        try:
            _, difference, levels, _ = compare(exported, ENGINES[engine], n)
        except MissingEngineError as error:
            pytest.skip(str(error))
        assert levels <= 1
        assert difference < 1e-3
