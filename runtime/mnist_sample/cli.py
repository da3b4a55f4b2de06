"""The command line: reads options into a `Request` and hands it on."""

from __future__ import annotations

import enum
import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from mnist_sample import __version__
from mnist_sample.errors import MnistSampleError
from mnist_sample.job import Request
from mnist_sample.process import INTERRUPTED, INTERRUPTED_CODE, collect_garbage_again, complain
from mnist_sample.usage import explain_usage

_HELP = """Draw handwritten digits.

Example: mnist-sample --digits 2026 --seed 7 --out year.png

A digit is named by the model, --seed and its index: it is the same picture alone, in a batch, or in a shard
(--start and --n).
"""

_app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Provider(enum.StrEnum):
    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class _Format(enum.StrEnum):
    PNG = "png"
    NPZ = "npz"
    NPY = "npy"
    IDX = "idx"
    GIF = "gif"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnist-sample {__version__}")
        raise typer.Exit


@_app.command(help=_HELP)
def _sample(
    n: Annotated[
        int | None,
        typer.Option("--n", "-n", metavar="N", help="How many digits.  [default: 5, or --digits once]"),
    ] = None,
    provider: Annotated[
        _Provider, typer.Option(help="Where to run; auto takes CUDA where it really works.")
    ] = _Provider.AUTO,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,  # checked where all that is wrong with a file is told alike
            help="A .onnx file made by `python -m export`.  [default: the bundled one]",
        ),
    ] = None,
    digits: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Draw these digits in this order, over and over from index 0; names of several letters are "
            "separated by commas.  [default: at random]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Names an endless series of digits: 0 to 2**64 - 1.")
    ] = 0,
    start: Annotated[
        int, typer.Option(metavar="N", help="Index of the first digit: shards are --start and --n pairs.")
    ] = 0,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="A sheet .png, arrays .npz, images .npy, a walk .gif, a folder/ of PNGs, or - for stdout.  "
            "[default: digits.png, or as --format says]",
        ),
    ] = None,
    form: Annotated[
        _Format | None,
        typer.Option(
            "--format",
            help="What to write where --out does not tell; idx is a folder that torchvision's MNIST opens.",
        ),
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(
            metavar="PSI", help="Scales the latents: 1 is the full variety, towards 0 plainer digits."
        ),
    ] = 1.0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Digits made at a time by each thread.  [default: measured to be fast]"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Batches made at a time, processes that write PNGs.  [default: one per CPU; four on CUDA]",
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option(metavar="N", help="Digits per row of a sheet.")] = None,
    scale: Annotated[
        int | None,
        typer.Option(metavar="N", help="Enlarge each pixel so many times.  [default: 1; 4 for .gif]"),
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="Draw in the terminal.  [default: for a sheet, where stdout is a terminal]",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    info: Annotated[
        bool,
        typer.Option(
            "--info", help="Tell what the model file says of itself, and which providers work here."
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if info:
        from mnist_sample.info import describe
        from mnist_sample.text import escape_unencodable

        escape_unencodable(sys.stdout)
        typer.echo(describe(model))
        return
    from mnist_sample.command import run
    from mnist_sample.planning import name_output

    collect_garbage_again()
    run(
        Request(
            n=n,
            provider=provider.value,
            model=model,
            digits=digits,
            seed=seed,
            start=start,
            out=name_output(form) if out is None else out,
            format=form,
            truncation=truncation,
            batch_size=batch_size,
            threads=threads,
            columns=columns,
            scale=scale,
            show=show,
            quiet=quiet,
        )
    )


def run_arguments(arguments: list[str] | None = None) -> int:
    """Run the command line `arguments`, by default this process's, and return the exit code."""
    try:
        code: int = _app(arguments, prog_name="mnist-sample", standalone_mode=False) or 0
        # Some versions of typer turn Ctrl-C into this, others raise.
        return complain(INTERRUPTED, code) if code == INTERRUPTED_CODE else code
    except MnistSampleError as error:
        return complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return complain(INTERRUPTED, INTERRUPTED_CODE)
    except OSError as error:  # those on what --out names have been told apart
        if error.errno == errno.ENOMEM:  # of an import
            return complain("not enough memory", 1)
        if error.filename is not None:  # of --install-completion
            return complain(f"cannot write {error.filename}: {error.strerror}", 1)
        from mnist_sample.files import abandon

        abandon(sys.stdout)
        return complain(f"cannot write stdout: {error.strerror or error}", 1)
    except ImportError as error:  # numpy or onnxruntime is damaged, or finds no room
        from mnist_sample.text import first_line

        return complain(f"cannot start: {first_line(error)}; install mnist-sample again, or free memory", 1)
    except MemoryError:  # of --info; while drawing it has been told apart
        return complain("not enough memory", 1)
    except Exception as error:
        return complain(explain_usage(error, "mnist-sample"), 2)
