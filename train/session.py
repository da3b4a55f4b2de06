"""Sets a run up, new or resumed, trains it, and closes its folder."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch

from mnist_sample.errors import OutputError, UsageError
from models.registry import get_architecture
from train.config import SAVE_EVERY_SECONDS, TrainConfig, make_config, read_config
from train.data import Dataset, load_dataset
from train.device import choose_device, has_fast_bf16
from train.distributed import World, join_world
from train.failures import explain_failures
from train.loop import train
from train.memory import keep_freed_memory
from train.progress import Display
from train.quality import make_quality
from train.run_folder import Provenance, RunFolder, refuse_taken
from train.start import Start, read_start
from train.state import ResumeError, State, make_state, read_saved, restore_state
from train.step import DeviceData

RUNS: Final = Path("runs")


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        data: `auto`, `mnist`, `bundled` or a folder; None for the default or the resumed run's.
        out: folder of a new run; None for a new one in `runs/`.
        resume: folder of the run to go on with; None for a new run.
        settings: the `TrainConfig` fields that were given.
        save_every_seconds: how often a running training is saved.
        start_from: the `gen.pt` whose generator a new run begins with; None for a fresh one.
    """

    data: str | None = None
    out: Path | None = None
    resume: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    save_every_seconds: float = SAVE_EVERY_SECONDS
    start_from: Path | None = None


def run(request: Request) -> Path | None:
    """Train as requested.

    Returns:
        The run's folder; None in a process that is not the one that writes.

    Raises:
        MnistSampleError: the request makes no sense or the work failed; the message tells how to go on.
        KeyboardInterrupt: Ctrl-C came before there was anything to save.
    """
    warnings.filterwarnings("ignore", module=r"torch(\.|$)")
    keep_freed_memory()
    seen = _stamp(request.resume)
    saved = read_saved(request.resume / "resume.pt") if request.resume else None
    start = read_start(request.start_from) if request.start_from else None
    device = choose_device(request.settings.get("device") or (saved["facts"]["device"] if saved else None))
    config = resolve_config(request, saved, start, device)
    if request.out is not None:
        refuse_taken(request.out)  # before data are loaded, or downloaded, for nothing
    source = request.data if request.data is not None else saved["facts"]["source"] if saved else "auto"
    with join_world(device) as world, Display(world.is_writer) as display:
        if config.batch_size < 2 * world.size:
            raise UsageError(f"--batch-size {config.batch_size} is too small for {world.size} processes")
        data = load_in_turn(source, world, display.warn)
        if config.legible and data.labels is None:
            raise UsageError(f"--legible needs labels, and {data.name} has none: leave it out")
        provenance = Provenance.of(config, data, world.size)
        state = make_state(config, len(provenance.class_names), device, world)
        if start:
            start.put_into(state, provenance.class_names)
        path = request.resume or request.out or (name_folder() if world.is_writer else RUNS)
        folder = RunFolder(Path(world.broadcast(str(path))), provenance)
        with explain_failures(folder, config), folder.claimed() if world.is_writer else nullcontext():
            if world.is_writer and _stamp(request.resume) != seen:
                raise ResumeError(f"another process went on with {folder.path} just now: resume it once more")
            if saved:
                resume(state, saved, folder, data, world, display.say)
            elif world.is_writer:
                folder.begin(data)
            announce(folder, config, data, device, display)
            train(
                state,
                put_on_device(data, config, device),
                config,
                world,
                folder,
                display,
                make_quality(data),
                request.save_every_seconds,
            )
            if world.is_writer:
                folder.finish(state)
        return folder.path if world.is_writer else None


def _stamp(folder: Path | None) -> tuple[int, ...]:
    """Return what tells one `resume.pt` of a folder from the next."""
    try:
        found = (folder / "resume.pt").stat() if folder else None
    except OSError:  # whoever reads it says so
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found else ()


def resolve_config(
    request: Request, saved: dict[str, Any] | None, start: Start | None, device: torch.device
) -> TrainConfig:
    """Return the run's settings: the defaults, or a saved run's, with what was given.

    Raises:
        UsageError: a value makes no sense.
        ResumeError: a value given differs from the saved run's, other than a length that grows.
    """
    given = dict(request.settings)
    given.pop("device", None)
    if saved and start:
        raise UsageError("--resume and --start-from exclude each other: one goes on, the other begins anew")
    if start:
        given |= start.settings(given.get("lr_ratio"))
    if saved is None:
        config = make_config(given.pop("arch", None) or "digits", {**given, "device": device.type})
        return replace(config, bf16=has_fast_bf16(device)) if config.bf16 is None else config
    if request.out is not None:
        raise UsageError("--out and --resume exclude each other: a resumed run stays in its folder")
    try:
        config = read_config({**saved["facts"]["settings"], "device": device.type})
    except UsageError as error:
        raise ResumeError("the run is of another version of this program; begin a new run") from error
    longer: dict[str, Any] = {}
    for name, value in given.items():
        before = getattr(config, name)
        if value is None or value == before:
            continue
        if name in ("steps", "minutes") and before is not None and value > before:
            longer |= {name: value, "extended_at": saved["step"]}
            continue
        told = (
            f"differs from the run's {before}"
            if before is not None
            else "is no bound that the run began with"
        )
        raise ResumeError(f"--{name.replace('_', '-')} {value} {told}: leave it out, or begin a new run")
    return replace(config, **longer)


def load_in_turn(source: str, world: World, warn: Callable[[str], None]) -> Dataset:
    """Load the data, the writer first, so that one process alone downloads."""
    if world.is_writer:
        data = load_dataset(source, warn)
        world.broadcast("loaded")
        return data
    world.broadcast("loaded")
    return load_dataset(source, warn)


def put_on_device(data: Dataset, config: TrainConfig, device: torch.device) -> DeviceData:
    """Return the digits as one tensor on the device, with their labels where the architecture takes them."""
    images = torch.from_numpy(data.images).unsqueeze(1).to(device)
    conditional = data.labels is not None and get_architecture(config.arch).conditional
    return DeviceData(images, torch.from_numpy(data.labels).to(device) if conditional else None)


def resume(
    state: State,
    saved: dict[str, Any],
    folder: RunFolder,
    data: Dataset,
    world: World,
    say: Callable[[str], None],
) -> None:
    """Put a new state and folder where the saved run stood, on the same kind of device or another.

    Raises:
        ResumeError: the data or the networks are others.
    """
    facts, here = saved["facts"], folder.provenance
    if facts["data_sha256"] != here.data_sha256:
        raise ResumeError(
            f"the data differ: the run began with {facts['data']} (SHA-256 {facts['data_sha256'][:12]}...), "
            f"{here.source} holds {here.data} ({here.data_sha256[:12]}...): name the former with --data, or "
            "begin a new run"
        )
    same_device = facts["device"] == here.config.device
    restore_state(state, saved, same_device)
    if not same_device:
        state.random.manual_seed((here.config.seed + state.step) % 2**63)
        say(
            f"Note: device: {here.config.device} now, {facts['device']} before. Its random numbers are "
            "others, so the weights will not be those of an uninterrupted run."
        )
    if world.is_writer:
        folder.reopen(state.step, data)
        # The command that goes on must know of a longer run at once; and a finished run takes no step.
        if facts["settings"] != here.config.as_dict() or not folder.holds_generator(state.step):
            folder.save(state)
    else:
        state.sums.zero_()  # they were added up over all processes
    for name in ("threads", "processes"):
        if facts[name] != getattr(here, name):
            say(
                f"Note: {name}: {getattr(here, name)} now, {facts[name]} before. Sums are rounded in another "
                "order, so the weights will not be bit-identical to an uninterrupted run's."
            )


def announce(
    folder: RunFolder, config: TrainConfig, data: Dataset, device: torch.device, display: Display
) -> None:
    """Tell what is about to happen."""
    length = " or ".join(
        [f"{config.steps} steps"] * (config.steps is not None)
        + [f"{config.minutes} minutes"] * (config.minutes is not None)
    )
    kinds = f"{len(data.class_names)} classes" if data.class_names else "no labels"
    display.say(
        f"Training {config.arch} on {len(data.images)} digits of {data.name} ({kinds}): {length} "
        f"on {device.type}, seed {config.seed}, into {folder.path}"
    )


def name_folder() -> Path:
    """Make a folder in `runs/`, named by date and time.

    Raises:
        OutputError: it cannot be made.
    """
    name = time.strftime("%Y%m%d-%H%M%S")
    for count in itertools.count(1):
        path = RUNS / (name if count == 1 else f"{name}-{count}")
        try:
            RUNS.mkdir(exist_ok=True)  # by itself, since a link to nowhere exists too
            with suppress(FileExistsError):
                path.mkdir()
                return path
        except OSError as error:
            raise OutputError(f"cannot write to {path}: {error.strerror}: choose another --out") from error
    raise AssertionError("there is always another name")
