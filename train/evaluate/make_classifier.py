"""Trains the evaluation's own classifier and writes its ONNX file."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import write_atomically
from train.evaluate.features import (
    CLASSIFIER_PATH,
    INPUT_IMAGE,
    OUTPUT_FEATURES,
    OUTPUT_LOGITS,
    FeatureExtractor,
)
from train.evaluate.fit import FitConfig, fit, scale
from train.evaluate.frechet import fit_gaussian, frechet_distance
from train.evaluate.mnist import RealDigits
from train.evaluate.network import Classifier
from train.evaluate.progress import show_progress
from train.evaluate.reference import REFERENCE_PATH, Reference, write_reference

LEAST_ACCURACY = 0.993
"""On the test digits; a classifier below it is not written."""


class _FromBytes(nn.Module):
    """The classifier on images as bytes, so that no caller can scale them wrongly."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.classifier(scale(image))
        return logits, features


def export_classifier(classifier: Classifier, facts: dict[str, object]) -> bytes:
    """Return a classifier as ONNX: `image` uint8 `[batch, 28, 28]` to `logits` and `features`."""
    module = _FromBytes(classifier.to(memory_format=torch.contiguous_format)).eval()
    program = torch.onnx.export(
        module,
        (torch.zeros(2, 28, 28, dtype=torch.uint8),),
        input_names=[INPUT_IMAGE],
        output_names=[OUTPUT_LOGITS, OUTPUT_FEATURES],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    _drop_notes(model.graph)
    for key, value in facts.items():
        model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=str(value)))
    onnx.checker.check_model(model, full_check=True)
    buffer = io.BytesIO()
    onnx.save(model, buffer)
    return buffer.getvalue()


def _drop_notes(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes, which name the places of files here: the same weights are the same bytes."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def measure_real(digits: RealDigits, extract: FeatureExtractor) -> Reference:
    """Take the statistics of the real digits' features with an exported classifier."""
    train_features, _ = extract(digits.train_images.numpy())
    test_features, read = extract(digits.test_images.numpy())
    train = fit_gaussian(train_features)
    return Reference(
        train=train,
        test_distance=frechet_distance(fit_gaussian(test_features), train),
        test_accuracy=float(np.mean(read == digits.test_labels.numpy())),
        classifier_sha256=extract.sha256,
    )


def make_classifier(digits: RealDigits, config: FitConfig, seed: int, folder: Path) -> Reference:
    """Train, export, measure, and write `classifier.onnx` with its `reference.npz` into a folder.

    Raises:
        MnistSampleError: the exported file reads fewer test digits right than `LEAST_ACCURACY`.
    """
    with show_progress("classifier") as progress:
        classifier = fit(lambda _epoch: (digits.train_images, digits.train_labels), config, seed, progress)
    content = export_classifier(classifier, {"seed": seed, "training": json.dumps(asdict(config))})
    reference = measure_real(digits, FeatureExtractor(content))
    if reference.test_accuracy < LEAST_ACCURACY:
        raise MnistSampleError(
            f"the classifier reads only {reference.test_accuracy:.2%} of the test digits right; "
            f"{LEAST_ACCURACY:.1%} are needed, nothing was written. Train longer or with another seed."
        )
    write_atomically(folder / CLASSIFIER_PATH.name, content)
    write_reference(reference, folder / REFERENCE_PATH.name)
    return reference
