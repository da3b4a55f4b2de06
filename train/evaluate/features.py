"""Runs the digit classifier's ONNX file: logits and features of digits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from mnist_sample.engine import onnxruntime as ort

CLASSIFIER_PATH: Final = Path(__file__).with_name("classifier.onnx")
INPUT_IMAGE: Final = "image"
"""uint8 `[batch, 28, 28]`, ink 255 on paper 0."""
OUTPUT_LOGITS: Final = "logits"
"""float32 `[batch, 10]`."""
OUTPUT_FEATURES: Final = "features"
"""float32 `[batch, features]`: the last hidden layer, after its ReLU."""
CHUNK: Final = 500
"""Digits per run; a fixed number keeps the memory small whatever is asked."""


class FeatureExtractor:
    """The digit classifier.

    Args:
        content: an ONNX file's bytes; by default those of the file that ships with the project.

    Attributes:
        sha256: of the file, in lower-case hex; it names the feature space.
    """

    def __init__(self, content: bytes | None = None) -> None:
        content = CLASSIFIER_PATH.read_bytes() if content is None else content
        self.sha256 = hashlib.sha256(content).hexdigest()
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # what OMP_NUM_THREADS leaves to this process
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __call__(
        self, images: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the features float64 `[n, features]` and the digit int64 `[n]` that each image is read as.

        Args:
            images: uint8 `[n, 28, 28]`, ink 255 on paper 0.
        """
        features, digits = [], []
        for start in range(0, len(images), CHUNK):
            logits, hidden = self._session.run(
                [OUTPUT_LOGITS, OUTPUT_FEATURES], {INPUT_IMAGE: images[start : start + CHUNK]}
            )
            features.append(np.asarray(hidden, np.float64))
            digits.append(np.asarray(logits).argmax(axis=1))
        return np.concatenate(features), np.concatenate(digits)
