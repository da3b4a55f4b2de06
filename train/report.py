"""The one-page report of a run: settings, curves, pictures and figures in one file that opens offline."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from mnist_sample.files import write_atomically

TEMPLATE: Final = Path(__file__).with_name("report.html")


def write_report(folder: Path, facts: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> None:
    """Write `report.html` from the pictures in `folder`, the run's facts and the lines of its metrics."""
    last = metrics[-1] if metrics else {}
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"Training run {folder.resolve().name}"),
        summary=html.escape(_summarise(facts, last)),
        figures=_table(_figures(metrics)),
        quality=_table(_quality(metrics)),
        settings=_table(_flatten(facts)),
        result=_embed(folder / "result.png"),
        losses=_embed(folder / "losses.png"),
        forming=_embed(folder / "forming.gif"),
        reals=_embed(folder / "reals.png"),
    )
    # A folder's name need not be text.
    write_atomically(folder / "report.html", page.encode(errors="replace"))


def _summarise(facts: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    return (
        f"Architecture {facts['settings']['arch']}, trained on {facts['data']} for {facts['steps']} steps "
        f"({last.get('seconds', 0):.0f} s) on {facts['device']}, seed {facts['seed']}."
        f"{'' if facts['seen_mnist'] else ' This model has not seen MNIST.'}"
    )


def _figures(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the newest value of each figure, rounded for reading."""
    newest: dict[str, Any] = {}
    for line in metrics:
        newest.update(line)
    return {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in newest.items()}


def _quality(metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return how far the digits were from real ones at each measurement."""
    measured = [line for line in metrics if "frechet" in line]
    return {
        f"step {line['step']}": f"{line['frechet']:.3g} (real test digits: {line['frechet_real']:.3g})"
        for line in measured
    } or {"not measured": "the measure knows MNIST's digits only"}


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, value in facts.items():
        rows |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return rows


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )


def _embed(picture: Path) -> str:
    content = base64.b64encode(picture.read_bytes()).decode()
    return f"data:image/{picture.suffix[1:]};base64,{content}"
