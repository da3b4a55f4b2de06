"""What a part of the run found: lines of a table, kept as JSON from the first line on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from mnist_sample.files import write_atomically

Outcome = Literal["holds", "FAILS", "measured", "not run"]
_WIDTHS: Final = (8, 44)


@dataclass(frozen=True)
class Line:
    """One thing looked at.

    Attributes:
        what: what was looked at.
        outcome: `holds` or `FAILS` for a claim, `measured` for a figure, `not run` for what cannot be seen.
        found: what was seen, or why nothing was, for a reader.
        values: the same for a program, as JSON values.
    """

    what: str
    outcome: Outcome
    found: str
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"  {self.outcome:<{_WIDTHS[0]}}  {self.what:<{_WIDTHS[1]}}  {self.found}"


class Report:
    """The lines of one part; each is on disk at once, so that a part that is stopped leaves what it saw."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[Line] = []
        self._save()

    def check(self, what: str, holds: bool, found: str, **values: Any) -> None:
        """Note whether a claim holds."""
        self._add(Line(what, "holds" if holds else "FAILS", found, values))

    def measure(self, what: str, found: str, **values: Any) -> None:
        """Note a figure."""
        self._add(Line(what, "measured", found, values))

    def skip(self, what: str, reason: str) -> None:
        """Note what could not be seen."""
        self._add(Line(what, "not run", reason))

    def _add(self, line: Line) -> None:
        self._lines.append(line)
        self._save()

    def _save(self) -> None:
        write_json(self.path, [asdict(line) for line in self._lines])


def read_lines(path: Path) -> list[Line]:
    """Return the lines that a `Report` at `path` has left, none where there is no file."""
    return [Line(**line) for line in json.loads(path.read_text())] if path.exists() else []


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, whole at every moment."""
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())


def count_outcomes(lines: Sequence[Line]) -> dict[str, int]:
    """Return how many lines have each outcome."""
    names = ("holds", "FAILS", "measured", "not run")
    return {name: sum(line.outcome == name for line in lines) for name in names}
