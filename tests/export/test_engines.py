"""The file runs unchanged in other engines, and draws the same pictures there."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.checks import Candidate
from tests.export.engines import BATCHES, ENGINES, MissingEngineError, compare
from tests.export.exported import build
from tests.models.checkpoints import KINDS, make_checkpoint


@pytest.fixture(scope="module", params=KINDS)
def candidate(request: pytest.FixtureRequest) -> Candidate:
    return build(make_checkpoint(request.param))


@pytest.mark.parametrize("engine", ENGINES)
def test_another_engine_draws_the_same(engine: str, candidate: Candidate, tmp_path: Path) -> None:
    path = tmp_path / "gen.onnx"
    path.write_bytes(candidate.content)
    for n in BATCHES:
        try:
            _, difference, levels, _ = compare(candidate, path, ENGINES[engine], n)
        except MissingEngineError as error:
            pytest.skip(str(error))
        assert levels <= 1
        assert difference < 1e-3
