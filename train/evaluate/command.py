"""The evaluation command: from a file's path to a report, with every obstacle found before the long work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_sample.errors import OutputError, UsageError
from mnist_sample.files import check_target, write_atomically
from train.data import name_files
from train.evaluate.evaluation import Evaluation, evaluate
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.pictures import write_picture
from train.evaluate.progress import show_progress
from train.evaluate.samples import open_generator
from train.evaluate.settings import Settings
from train.evaluate.text import format_text
from train.evaluate.values import check_recordable, encode_json, record


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: a `gen.pt` or a `gen.onnx`.
        data: where MNIST is, as training understands it.
        settings: how thoroughly to evaluate.
        json: where to write the figures as JSON.
        picture: where to write the report's picture.
        record: whether to write the figures into the checkpoint.
    """

    file: Path
    data: str
    settings: Settings
    json: Path | None
    picture: Path | None
    record: bool


def run(request: Request, say: Callable[[str], None]) -> None:
    """Evaluate a generator, tell the report as text and write what was asked for.

    Args:
        request: what to do.
        say: takes the report, before anything is written, so that no failure to write can lose it; what
            was asked for is written all the same where `say` fails.

    Raises:
        MnistSampleError: the generator or MNIST cannot be used, or a result could not be written.
    """
    _check_targets(request)
    generator = open_generator(request.file)
    digits = load_mnist(request.data)
    with show_progress("evaluating") as progress:
        evaluation = evaluate(generator, digits, request.settings, progress)
    try:
        say(format_text(evaluation))
    finally:
        _write_files(request, evaluation, digits)


def _write_files(request: Request, evaluation: Evaluation, digits: RealDigits) -> None:
    if request.json is not None:
        with _writing(request.json):
            write_atomically(request.json, encode_json(evaluation))
    if request.picture is not None:
        with _writing(request.picture):
            write_picture(evaluation, digits.train_images.numpy(), request.picture)
    if request.record:
        with _writing(request.file):
            record(evaluation)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; what stood there is as it was"
        ) from error


def _check_targets(request: Request) -> None:
    if request.record:
        check_recordable(request.file)
    targets = [path for path in (request.json, request.picture) if path is not None]
    for path in targets:
        check_target(path, [request.file, *name_files(request.data)])
    if len(set(map(os.path.realpath, targets))) < len(targets):
        raise UsageError("--json and --picture name the same file: name two")
