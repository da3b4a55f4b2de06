"""The command line of `python -m train.evaluate`: parses it and hands it on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from train.evaluate.settings import Settings
from train.interruption import hold_ctrl_c, stoppable
from train.shell import run_and_exit
from train.stdout import tell_result

STOPPED: Final = "stopped before the evaluation ended"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m train.evaluate runs/first/gen.pt --data ../mnist --cas")
def main(
    file: Annotated[Path, typer.Argument(help="A gen.pt or a gen.onnx.", show_default=False)],
    data: Annotated[str, typer.Option(help="auto, mnist, or a folder of MNIST's files.")] = "auto",
    n: Annotated[
        int, typer.Option(help="Digits per draw, and real test digits beside them; 100 to 10,000.")
    ] = Settings.digits,
    seeds: Annotated[
        int, typer.Option(help="Draws to take the mean of; with --cas also trainings of each kind.")
    ] = Settings.seeds,
    cas: Annotated[
        bool, typer.Option("--cas", help="Also train classifiers on generated digits; takes minutes.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures there as JSON.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write there, as PNG, a sheet of each class and the closest pairs.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the figures into the gen.pt; export takes them along.")
    ] = False,
) -> None:
    """Tell how good a generator's digits are, each figure beside the same figure for real test digits."""
    settings = Settings(digits=n, seeds=seeds, cas=cas)
    say = partial(tell_result, otherwise="the files that were asked for are written")
    with stoppable(STOPPED):
        with hold_ctrl_c():
            # Here, since torch takes seconds to import, and --help does without.
            from train.evaluate.command import Request, run
        run(Request(file, data, settings, json, picture, record), say)


def run_command() -> NoReturn:
    """Run the command and exit."""
    run_and_exit(app, "python -m train.evaluate", STOPPED)
