"""The command line of `python -m train.average`: parses it and hands it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from mnist_sample.errors import OutputError
from train.interruption import hold_ctrl_c, stoppable
from train.shell import run_and_exit
from train.stdout import tell_result

STOPPED: Final = "stopped before the average was written"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m train.average second/gen.pt third/gen.pt --out gen.pt")
def main(
    generators: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more gen.pt that began with the same one, or are it.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="The gen.pt to write.", show_default=False)],
    latent_std: Annotated[
        float,
        typer.Option(help="Spread of the latents that becomes 1, as in training: less is more variety."),
    ] = 1.0,
) -> None:
    """Average the weights of generators that were trained from the same start."""
    try:
        with stoppable(STOPPED):
            with hold_ctrl_c():
                # Here, since torch takes seconds to import, and --help does without.
                from train.averaging import average
            average(generators, latent_std, out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error
    tell_result(f"{out} written", f"{out} is written")


def run_command() -> NoReturn:
    """Run the command and exit."""
    run_and_exit(app, "python -m train.average", STOPPED)
