"""Breaks an exported file in every way of `tests.export.mutants`, and writes which check found which defect.

    python -m tests.export.mutation_study GEN_PT GEN_ONNX [GEN_PT GEN_ONNX ...]

A defect is given to the file as a faulty exporter would: the digest fits, and the check that builds the
graph anew is left out, since a faulty exporter would repeat its fault. That check is asked only about what
all others let pass, as `python -m export --check` would ask it about a file changed afterwards.

What no check finds must be no defect: the file then has to draw the same pictures as the sound one, on
latents that no check uses, and `sample` may differ by no more than the tolerance. Anything else is counted
as uncaught, and the command fails.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from export.checks import CHECKS, Candidate
from export.checks.candidate import Array, Arrays
from export.checks.metadata import check_differences
from export.checks.whole import check_rebuild, without_metadata
from export.errors import ExportError
from export.run import run_checks
from tests.export.exported import OPTIONS, Exported
from tests.export.mutants import Mutant, apply_to_file, make_mutants

TABLE = Path(__file__).with_name("mutation_table.md")
ROWS = 4096
SEED = 20_000
"""Of the latents on which survivors are compared: no check draws from it."""
NO_DEFECT = "no defect"
UNCAUGHT = "UNCAUGHT"
TITLE = """# Which check finds which defect

Written by `python -m tests.export.mutation_study GEN_PT GEN_ONNX`, which explains the terms.
Each cell counts mutants.
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        caught_by: the error's name without `Error`, or `NO_DEFECT`, or `UNCAUGHT`.
        rebuilt: whether building the graph anew shows the change; only asked where nothing else did.
        sample: largest difference of `sample` from the sound file, where it was compared.
        levels: largest difference of `image` from the sound file, where it was compared.
    """

    caught_by: str
    rebuilt: bool = False
    sample: float = 0.0
    levels: int = 0


class StudiedCandidate(Candidate):
    """A candidate that asks PyTorch only once for what all mutants are compared with."""

    _answers: ClassVar[dict[tuple[bytes, ...], Array]] = {}

    def run_torch(self, inputs: Arrays, dtype: torch.dtype, clip: bool = True) -> Array:
        """Return `Candidate.run_torch`'s answer, from memory if it was asked before."""
        key = (
            self.sha256.encode(),
            str(dtype).encode(),
            bytes([clip]),
            *(rows.tobytes() for rows in inputs.values()),
        )
        if key not in self._answers:
            self._answers[key] = super().run_torch(inputs, dtype, clip)
        return self._answers[key]


def judge(exported: Exported, mutant: Mutant) -> Verdict:
    """Run the checks in their order on the file with the defect."""
    known = {field.name: getattr(exported.candidate, field.name) for field in fields(Candidate)}
    candidate = StudiedCandidate(**known | {"content": apply_to_file(exported.content, mutant)})
    try:
        figures = run_checks(candidate, lambda _: None, [c for c in CHECKS if c is not check_rebuild])
        check_differences(candidate, figures)
    except ExportError as error:
        return Verdict(type(error).__name__.removesuffix("Error"))
    sample, levels = measure_change(exported.candidate, candidate)
    harmless = sample <= OPTIONS.atol and levels <= 1
    # The export itself has built that file twice.
    rebuilt = without_metadata(candidate.model) != without_metadata(exported.model)
    return Verdict(NO_DEFECT if harmless else UNCAUGHT, rebuilt, sample, levels)


def measure_change(sound: Candidate, mutated: Candidate) -> tuple[float, int]:
    """Return the largest differences of `sample` and of `image` between two files."""
    inputs = sound.draw(ROWS, SEED)
    (image, sample), (other_image, other) = sound.run(inputs), mutated.run(inputs)
    return float(np.abs(sample - other).max()), int(np.abs(image.astype(int) - other_image).max())


def write_table(verdicts: dict[str, list[tuple[str, str, Verdict]]]) -> str:
    """Return the tables in Markdown: groups by error, and the survivors one by one."""
    counts = {group: Counter(verdict.caught_by for *_, verdict in rows) for group, rows in verdicts.items()}
    total = sum(counts.values(), Counter[str]())
    lines = [
        TITLE,
        f"{total.total()} mutants: "
        f"{total.total() - total[NO_DEFECT] - total[UNCAUGHT]} caught, {total[NO_DEFECT]} no defect, "
        f"{total[UNCAUGHT]} uncaught.\n",
        "| defect | mutants | caught by | no defect |",
        "| --- | ---: | --- | ---: |",
    ]
    for group, found in sorted(counts.items()):
        caught = [f"{name} {n}" for name, n in found.most_common() if name != NO_DEFECT]
        lines.append(f"| {group} | {found.total()} | {', '.join(caught)} | {found[NO_DEFECT] or ''} |")
    lines += [
        "\n## What is no defect\n",
        "| file | change | sample differs by | grey levels | rebuild shows it |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for rows in verdicts.values():
        for kind, name, verdict in rows:
            if verdict.caught_by in (NO_DEFECT, UNCAUGHT):
                shown = "yes" if verdict.rebuilt else "no"
                lines.append(f"| {kind} | {name} | {verdict.sample:.1e} | {verdict.levels} | {shown} |")
    return "\n".join(lines) + "\n"


def main(paths: list[Path]) -> int:
    """Judge all mutants, write the table, and return 1 if one went uncaught."""
    logging.disable(logging.WARNING)
    verdicts: dict[str, list[tuple[str, str, Verdict]]] = defaultdict(list)
    for source, path in zip(paths[::2], paths[1::2], strict=True):
        exported = Exported(source, path, ())
        kind = exported.metadata["architecture"]
        for mutant in make_mutants(exported.model):
            verdict = judge(exported, mutant)
            verdicts[mutant.group].append((kind, mutant.name, verdict))
            print(f"{kind}: {mutant.group}: {mutant.name}: {verdict.caught_by}", flush=True)
    TABLE.write_text(write_table(verdicts))
    return int(any(v.caught_by == UNCAUGHT for rows in verdicts.values() for *_, v in rows))


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
