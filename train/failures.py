"""Tells the user of a run that failed what is saved and how to go on."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from mnist_sample.errors import MnistSampleError, OutputError
from mnist_sample.shell import is_out_of_memory
from train.config import DEFAULTS, TrainConfig
from train.distributed import WorkerError
from train.loop import DivergedError, InterruptedRunError
from train.run_folder import RunFolder, go_on_command


class OutOfMemoryError(MnistSampleError):
    """A step needs more memory than there is."""


@contextmanager
def explain_failures(folder: RunFolder, config: TrainConfig) -> Iterator[None]:
    """Add to a failure what is saved and the command that goes on.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM stopped the run.
        WorkerError: another process of it has ended.
        DivergedError: its losses or weights are beyond use.
        OutOfMemoryError: a step needs more memory than there is.
        OutputError: its folder cannot be written to.
    """
    try:
        yield
    except InterruptedRunError as error:
        error.args = (f"{error}; go on with: {go_on_command(folder.path)}",)
        raise
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"stopped at once; {tell_saved(folder, 'begin anew in another folder')}", error
        ) from error
    except WorkerError as error:
        raise WorkerError(f"{error}; {tell_saved(folder, 'begin anew in another folder')}") from error
    except DivergedError as error:
        kept = (
            f"gen.pt of step {folder.saved_step} is whole" if folder.saved_step else "nothing was saved yet"
        )
        slower = slower_command(config, folder.provenance.source)
        raise DivergedError(
            f"{error}; {kept} in {folder.path}.\nBegin anew with a smaller learning rate: {slower}"
        ) from error
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise OutputError(
            f"cannot write to {name_target(error, folder)}: {error.strerror or error}\n"
            f"{f'{remedy}; ' if folder.is_saved() else ''}{tell_saved(folder, 'choose another --out')}"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"there is not enough memory for steps of --batch-size {config.batch_size}; "
            f"{tell_saved(folder, 'begin anew with a smaller one, in another folder')}"
        ) from error


def name_target(error: OSError, folder: RunFolder) -> str:
    """Return what could not be written: the folder where the error names nothing, or a temporary file."""
    name = str(error.filename2 or error.filename or "")
    return name if name and not name.endswith(".tmp") else str(folder.path)


def tell_saved(folder: RunFolder, otherwise: str) -> str:
    """Return what is saved and how to go on with it; where nothing is, what to do otherwise."""
    if not folder.is_saved():
        if folder.generator_step:
            return (
                f"gen.pt of step {folder.generator_step} is whole, but nothing to go on with it: {otherwise}"
            )
        return f"nothing was saved yet: {otherwise}"
    what = f"what was saved at step {folder.saved_step}" if folder.saved_step else "the last checkpoint"
    return f"{what} is whole; go on with: {go_on_command(folder.path)}"


_GIVEN: Final = (
    "start_from", "steps", "minutes", "batch_size", "lr_ratio", "gamma", "entropy", "legible", "latent_std",
    "warp", "discriminator_width", "seed",
)  # fmt: skip
"""Options of a run that its settings tell, beside the learning rate."""


def slower_command(config: TrainConfig, source: str) -> str:
    """Return the command of the same run with a learning rate that may do."""
    usual = DEFAULTS[config.arch]
    options: dict[str, object] = {"data": source, "arch": config.arch}
    for name in _GIVEN:
        value = getattr(config, name)
        if value is not None and value != getattr(usual, name):
            options[name.replace("_", "-")] = value
    options["lr"] = f"{min(config.lr / 4, usual.lr):g}"
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    return f"python -m train {shlex.join(words)}"
