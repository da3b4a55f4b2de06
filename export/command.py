"""The command line of `python -m export`: parses, and hands on."""

from __future__ import annotations

import contextlib
import enum
import logging
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from export.checks import CHECKS, Finding
from export.checks.agreement import MAX_ATOL
from export.checks.structure import MAX_OPSET, MIN_OPSET
from export.run import Options, Report, check, export
from mnist_sample import contract
from mnist_sample.files import write_stderr
from mnist_sample.shell import run_app
from mnist_sample.text import escape_unencodable

COMMAND = "python -m export"
BEFORE_CHECKS = 2
"""Findings that come before the checks: the checkpoint, and what folding made of it."""
DEFAULT_ATOL = 5e-5

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Provider(enum.StrEnum):
    """Where onnxruntime runs for the comparisons."""

    CPU = "cpu"
    CUDA = "cuda"


@app.command(epilog="Example: python -m export runs/first/gen.pt generator.onnx")
def main(
    gen_pt: Annotated[Path, typer.Argument(help="The checkpoint that training wrote.", show_default=False)],
    gen_onnx: Annotated[
        Path, typer.Argument(help="The file to write, or with --check to prove.", show_default=False)
    ],
    opset: Annotated[
        int | None,
        typer.Option(min=MIN_OPSET, max=MAX_OPSET, help=f"ONNX opset; {contract.OPSET} by default."),
    ] = None,
    atol: Annotated[
        float, typer.Option(min=0, max=MAX_ATOL, help="Largest difference of sample from PyTorch in float64.")
    ] = DEFAULT_ATOL,
    provider: Annotated[Provider, typer.Option(help="Where onnxruntime runs for the checks.")] = Provider.CPU,
    only_check: Annotated[bool, typer.Option("--check", help="Prove GEN_ONNX again; write nothing.")] = False,
) -> None:
    """Turn GEN_PT into GEN_ONNX, and write it only when every check held."""
    if math.isnan(atol):  # typer's range lets it pass
        raise typer.BadParameter("nan is no number", param_hint="--atol")
    if only_check and opset is not None:
        raise typer.BadParameter("a file that is checked has its own opset", param_hint="--opset")
    options = Options(opset=opset or contract.OPSET, atol=atol, provider=provider.value)
    findings: list[Finding] = []
    with _reporting(findings) as report:
        (check if only_check else export)(gen_pt, gen_onnx, options, report)
    print(f"{gen_onnx} {'holds' if only_check else 'written'}", flush=True)


@contextlib.contextmanager
def _reporting(findings: list[Finding]) -> Iterator[Report]:
    """Print each finding as it comes, and put it into `findings`; a bar on a terminal shows how far it is."""
    console = Console(stderr=True)
    with Progress(
        console=console,
        disable=not console.is_terminal,
        transient=True,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    ) as progress:
        task = progress.add_task("proving", total=BEFORE_CHECKS + len(CHECKS))

        def report(finding: Finding) -> None:
            print(f"{finding.name:<20} {finding.text}", flush=True)
            findings.append(finding)
            progress.advance(task)

        yield report


def run_command() -> NoReturn:
    """Run the command and exit; a failure that a user can cause becomes one or two lines on stderr."""
    logging.disable(logging.WARNING)
    escape_unencodable(sys.stdout)
    sys.exit(run_app(app, COMMAND, _complain))


def _complain(message: str) -> None:
    write_stderr(f"error: {message}")
