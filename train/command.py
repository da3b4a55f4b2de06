"""The command line of `python -m train`: parses it and hands it on."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from train.config import SAVE_EVERY_SECONDS
from train.interruption import hold_ctrl_c, stoppable
from train.shell import run_and_exit
from train.stdout import tell_result

STOPPED: Final = "stopped before the training began"


def parse_folder(text: str) -> Path:
    """Return the folder that an option names.

    Raises:
        typer.BadParameter: the name is empty, as an unset variable's is; it would mean the current folder.
    """
    if not text:
        raise typer.BadParameter("is empty: name a folder")
    return Path(text)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m train --data ../mnist --minutes 5")
def main(
    data: Annotated[
        str | None,
        typer.Option(
            help="auto, mnist, bundled, or a folder of IDX files, plain or .gz.", show_default="auto"
        ),
    ] = None,
    arch: Annotated[str | None, typer.Option(help="digits or tutorial.", show_default="digits")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates of the generator.", show_default="the architecture's")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train for so long; the learning rate decays to fit.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Real digits per step.", show_default="the architecture's")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Adam's learning rate.", show_default="the architecture's")
    ] = None,
    lr_ratio: Annotated[
        float | None,
        typer.Option(
            help="The generator's learning rate over the discriminator's.",
            show_default="the architecture's, 1 with --start-from",
        ),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(help="Weight of the gradient penalties.", show_default="0.1, for digits only"),
    ] = None,
    entropy: Annotated[
        float | None,
        typer.Option(help="Weight of variety in the generator's loss.", show_default="0"),
    ] = None,
    legible: Annotated[
        float | None,
        typer.Option(help="Weight of the class that can be read.", show_default="0"),
    ] = None,
    latent_std: Annotated[
        float | None,
        typer.Option(help="Spread of the latents in training, up to 1; sampling takes 1.", show_default="1"),
    ] = None,
    warp: Annotated[
        float | None,
        typer.Option(help="Share of digits that the discriminator sees warped, 0 to 1.", show_default="0"),
    ] = None,
    discriminator_width: Annotated[
        int | None,
        typer.Option(help="Times the discriminator's usual width; 2 for a GPU.", show_default="1"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything.", show_default="0")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cuda or cpu.", show_default="auto")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run.", parser=parse_folder, metavar="PATH", show_default="runs/<date-time>"
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the run in this folder; --steps or --minutes may grow.",
            parser=parse_folder,
            metavar="PATH",
        ),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Begin a new run with the generator of this gen.pt.")
    ] = None,
    save_every: Annotated[
        float, typer.Option(help="Seconds between two checkpoints.", min=0)
    ] = SAVE_EVERY_SECONDS,
) -> None:
    """Train a generator of handwritten digits; leaves gen.pt and the run's pictures in a folder."""
    if math.isnan(save_every):  # typer's range lets it pass
        raise typer.BadParameter("nan is no number", param_hint="--save-every")
    settings = {
        "arch": arch,
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "lr": lr,
        "lr_ratio": lr_ratio,
        "gamma": gamma,
        "entropy": entropy,
        "legible": legible,
        "latent_std": latent_std,
        "warp": warp,
        "discriminator_width": discriminator_width,
        "seed": seed,
        "device": None if device == "auto" else device,
    }
    with stoppable(STOPPED):
        with hold_ctrl_c():
            # Here, since torch takes seconds to import, and --help does without.
            from train.session import Request, run
        folder = run(Request(data, out, resume, settings, save_every, start_from))
    if folder is not None:
        files = shlex.join([(folder / name).as_posix() for name in ("gen.pt", "gen.onnx")])
        tell_result(f"Done. Export it with: python -m export {files}", f"the run in {folder} is complete")


def run_command() -> NoReturn:
    """Run the command and exit."""
    run_and_exit(app, "python -m train", STOPPED)
