"""The command line of `python -m train.evaluate.classifier`: parses it and hands it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from mnist_sample.errors import OutputError, UsageError
from mnist_sample.files import check_target
from train.config import check_seed
from train.interruption import hold_ctrl_c, stoppable
from train.shell import run_and_exit
from train.stdout import tell_result

STOPPED: Final = "stopped before the classifier was made"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m train.evaluate.classifier --data ../mnist --out .")
def main(
    data: Annotated[str, typer.Option(help="auto, mnist, or a folder of MNIST's files.")] = "auto",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over MNIST.", show_default="as the one that ships")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder to write into.", show_default="where evaluation reads it")
    ] = Path(__file__).parent,
) -> None:
    """Train the digit classifier that python -m train.evaluate measures with, on real MNIST."""
    if epochs is not None and epochs < 1:
        raise UsageError("--epochs must be 1 or more")
    check_seed(seed)
    if not out.is_dir():
        raise UsageError(f"--out: there is no folder {out}")
    try:
        with stoppable(STOPPED):
            result = _make(data, epochs, seed, out)
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror or error}") from error
    tell_result(result, "the classifier is written")


def _make(data: str, epochs: int | None, seed: int, out: Path) -> str:
    """Make the classifier and return what to say of it."""
    with hold_ctrl_c():
        # Here, since torch takes seconds to import, and --help does without.
        from train.evaluate.features import CLASSIFIER_PATH
        from train.evaluate.fit import FitConfig
        from train.evaluate.make_classifier import make_classifier
        from train.evaluate.mnist import load_mnist
        from train.evaluate.reference import REFERENCE_PATH
    for path in (CLASSIFIER_PATH, REFERENCE_PATH):
        check_target(out / path.name, [])
    digits = load_mnist(data)
    config = FitConfig(epochs=epochs) if epochs else FitConfig()
    reference = make_classifier(digits, config, seed, out)
    return (
        f"{out / CLASSIFIER_PATH.name}  sha256 {reference.classifier_sha256}\n"
        f"test digits read right: {reference.test_accuracy:.2%}\n"
        f"Frechet distance of the test digits to the training digits: {reference.test_distance:.3f}"
    )


def run_command() -> NoReturn:
    """Run the command and exit."""
    run_and_exit(app, "python -m train.evaluate.classifier", STOPPED)
