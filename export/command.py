"""The command line of `python -m export`: parses, and hands on."""

from __future__ import annotations

import enum
import logging
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from export.checks import Finding
from export.checks.structure import MAX_OPSET, MIN_OPSET
from export.run import Options, check, export
from mnist_sample import contract
from mnist_sample.errors import MnistSampleError
from mnist_sample.files import abandon
from mnist_sample.text import escape_unencodable

DEFAULT_ATOL = 5e-5
MAX_ATOL = 1e-3
"""An eighth of a grey level: with more, a picture could differ from PyTorch's by more than rounding."""

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
    opset: Annotated[int, typer.Option(min=MIN_OPSET, max=MAX_OPSET, help="ONNX opset.")] = contract.OPSET,
    atol: Annotated[
        float, typer.Option(min=0, max=MAX_ATOL, help="Largest difference of sample from PyTorch in float64.")
    ] = DEFAULT_ATOL,
    provider: Annotated[Provider, typer.Option(help="Where onnxruntime runs for the checks.")] = Provider.CPU,
    only_check: Annotated[bool, typer.Option("--check", help="Prove GEN_ONNX again; write nothing.")] = False,
) -> None:
    """Turn GEN_PT into GEN_ONNX, and write it only when every check held."""
    if math.isnan(atol):  # typer's range lets it pass
        raise typer.BadParameter("nan is no number", param_hint="--atol")
    options = Options(opset=opset, atol=atol, provider=provider.value)
    if only_check:
        check(gen_pt, gen_onnx, options, _print_finding)
    else:
        export(gen_pt, gen_onnx, options, _print_finding)
    print(f"{gen_onnx} {'holds' if only_check else 'written'}", flush=True)


def _print_finding(finding: Finding) -> None:
    print(f"{finding.name:<20} {finding.text}", flush=True)


def run_command() -> None:
    """Run the command; a failure that a user can cause becomes one or two lines on stderr."""
    logging.disable(logging.WARNING)
    escape_unencodable(sys.stdout)
    try:
        app(prog_name="python -m export")
    except MnistSampleError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # on stdout; those on files have been told apart
        abandon(sys.stdout)
        print(f"error: cannot write stdout: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
