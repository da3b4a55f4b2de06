"""The results of an evaluation as JSON values: whole for a file, short for a checkpoint."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from mnist_sample.errors import MnistSampleError, OutputError, UsageError
from mnist_sample.files import check_target, write_atomically
from models import checkpoint
from train.evaluate.comparison import distance_quantiles
from train.evaluate.evaluation import Evaluation
from train.evaluate.labels import class_shares, label_accuracy
from train.evaluate.manifold import NEIGHBOURS
from train.evaluate.measures import MANIFOLD_DIGITS, Measured

DECIMALS: Final = 6
"""Of a figure in a checkpoint: far below its standard error."""
DIGEST_SHOWN: Final = 16
"""Characters of the classifier's SHA-256 in a checkpoint: enough to tell it from others."""


def encode_json(evaluation: Evaluation) -> bytes:
    """Return the whole evaluation as a JSON file's bytes."""
    settings, generator = evaluation.settings, evaluation.generator
    values = {
        "generator": {"path": str(generator.path), "sha256": generator.sha256},
        "classifier": {
            "sha256": evaluation.classifier_sha256,
            "accuracy on real": evaluation.classifier_accuracy,
        },
        "digits": {
            "generated": settings.digits,
            "draws": settings.seeds,
            "real": settings.digits,
            "training": 60_000,
            "training, for precision to coverage": MANIFOLD_DIGITS,
            "neighbours": NEIGHBOURS,
        },
        "figures": {
            figure.name: {
                **{name: value for name, value in asdict(figure).items() if name != "name"},
                "better by": figure.margin,
            }
            for figure in evaluation.figures
        },
        "draws": [{name: asdict(value) for name, value in draw.values.items()} for draw in evaluation.draws],
        "classes": _list_classes(evaluation),
        "nearest training digit": {
            "generated": _list_quantiles(evaluation.draws[0]),
            "real": _list_quantiles(evaluation.real),
        },
        "CAS": None if evaluation.cas is None else asdict(evaluation.cas),
    }
    return json.dumps(values, indent=2).encode() + b"\n"


def _list_classes(evaluation: Evaluation) -> list[dict[str, float]]:
    """Return each digit's share and label accuracy, in the first draw."""
    read, asked = evaluation.draws[0].read, evaluation.asked
    classes: list[dict[str, float]] = [{"read": float(share)} for share in class_shares(read)]
    if asked is not None:
        for digit, share in enumerate(class_shares(asked)):
            of_digit = asked == digit
            classes[digit]["asked"] = float(share)
            if of_digit.any():
                classes[digit]["label accuracy"] = label_accuracy(read[of_digit], asked[of_digit])
    return classes


def _list_quantiles(measured: Measured) -> dict[str, dict[str, float]]:
    return {
        "pixels": distance_quantiles(measured.nearest_pixels.distance),
        "features": distance_quantiles(measured.nearest_features.distance),
    }


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Return what a checkpoint keeps: figure name -> `{"generated": x, "real": y}`."""
    figures: dict[str, Any] = {
        figure.name: {
            "generated": round(figure.generated, DECIMALS),
            "real": round(figure.real, DECIMALS),
        }
        for figure in evaluation.figures
    }
    settings, digest = evaluation.settings, evaluation.classifier_sha256[:DIGEST_SHOWN]
    return {
        **figures,
        "digits": {"generated": settings.digits * settings.seeds, "real": settings.digits},
        "measured by classifier": {"generated": digest, "real": digest},
    }


def check_recordable(path: Path) -> None:
    """Raise before any work if figures cannot be recorded in a file.

    Raises:
        UsageError: it is no checkpoint.
        OutputError: it may not be written.
    """
    if path.suffix != ".pt":
        raise UsageError(f"--record: {path} is no gen.pt; record there and export it again")
    if path.exists():
        check_target(path, [])
        if not os.access(path, os.W_OK):
            raise OutputError(f"--record: no permission to write {path}; record in a copy of it")


def record(evaluation: Evaluation) -> None:
    """Write the figures into the checkpoint they were measured on, from where export takes them along.

    Raises:
        MnistSampleError: the checkpoint is gone or is another one by now.
        OSError: it could not be written; what stood there stands there still.
    """
    path = evaluation.generator.path
    try:
        trained, sha256 = checkpoint.read(path)
        if sha256 != evaluation.generator.sha256:
            raise MnistSampleError(f"{path} has changed since it was measured: nothing was recorded")
        content = checkpoint.encode(replace(trained, evaluation=summarise(evaluation)))
    except checkpoint.CheckpointError as error:
        raise MnistSampleError(str(error)) from error
    write_atomically(path, content)
