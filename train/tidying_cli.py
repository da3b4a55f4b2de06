"""The command line of `python -m train.tidy`: parses it and hands it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from mnist_sample.errors import OutputError
from train.interruption import hold_ctrl_c, stoppable
from train.shell import run_and_exit
from train.stdout import tell_result

STOPPED: Final = "stopped before the generator was written"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m train.tidy runs/first/gen.pt --out gen.pt")
def main(
    generator: Annotated[
        Path, typer.Argument(help="A gen.pt that draws digits like MNIST's.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The gen.pt to write.", show_default=False)],
    steps: Annotated[int, typer.Option(help="How many batches of 512 it learns from.")] = 4_000,
    seed: Annotated[int, typer.Option(help="Names the digits that it learns from.")] = 0,
) -> None:
    """Teach a generator to draw its own digits without specks, and within MNIST's box of 20 x 20 pixels."""
    try:
        with stoppable(STOPPED):
            with hold_ctrl_c():
                # Here, since torch takes seconds to import, and --help does without.
                from train.evaluate.progress import show_progress
                from train.tidying import TidyingConfig, tidy
            with show_progress("learning") as advance:
                tidy(generator, TidyingConfig(steps=steps, seed=seed), out, advance)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error
    tell_result(f"{out} written", f"{out} is written")


def run_command() -> NoReturn:
    """Run the command and exit."""
    run_and_exit(app, "python -m train.tidy", STOPPED)
