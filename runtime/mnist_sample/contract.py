"""What `gen.onnx` promises: the names, shapes and metadata that export writes and the sampler reads.

The file has no side-car: all that the sampler needs stands in its `metadata_props`. Structured values are
JSON. This module imports nothing but the standard library, so that both sides can afford it.
"""

from __future__ import annotations

from typing import Final

CONTRACT_VERSION: Final = 1
"""Counted up when a reader of the previous version could misread a file."""

INPUT_LATENT: Final = "latent"
"""float32 `[batch, latent_dim]`, standard normal."""
INPUT_LABEL: Final = "label"
"""int64 `[batch]`, a class index from 0; absent from an unconditional model."""
OUTPUT_IMAGE: Final = "image"
"""uint8 `[batch, 28, 28]`, ink 255 on paper 0."""
OUTPUT_SAMPLE: Final = "sample"
"""float32 `[batch, 1, 28, 28]` in [-1, 1]; `image` is `round(127.5 * sample + 127.5)`."""
BATCH_AXIS: Final = "batch"
IMAGE_SIZE: Final = 28

OPSET: Final = 18
"""The standard-domain opset that export writes by default."""
MAX_IR_VERSION: Final = 10
"""The newest ONNX IR version that the oldest supported onnxruntime (see pyproject.toml) loads."""
MAX_FILE_BYTES: Final = 64 * 2**20
"""A model file larger than this is refused unread."""
MAX_LATENT_DIM: Final = 4096
MAX_CLASSES: Final = 256
"""IDX labels are single bytes."""

# Keys of metadata_props. Every file has all of them.
KEY_CONTRACT: Final = "contract"
"""`CONTRACT_VERSION` in decimal."""
KEY_ARCHITECTURE: Final = "architecture"
"""Name in the registry of `models`, for example `digits`."""
KEY_LATENT_DIM: Final = "latent_dim"
KEY_CLASSES: Final = "classes"
"""JSON list of class names, one per label index; `[]` for an unconditional model."""
KEY_TRAINING: Final = "training"
"""JSON object: how the checkpoint was made (data, steps, seed, versions ...)."""
KEY_CHECKPOINT_SHA256: Final = "checkpoint_sha256"
KEY_VERSIONS: Final = "versions"
"""JSON object: the packages that exported the file."""
KEY_VERIFICATION: Final = "verification"
"""JSON object: check name -> measured difference."""
KEY_EVALUATION: Final = "evaluation"
"""JSON object: figure name -> `{"generated": x, "real": y}`; `{}` where the model was not evaluated."""
KEY_FILE_SHA256: Final = "file_sha256"
"""SHA-256 in lower-case hex of the whole file, taken while this value is 64 zeros: one flipped bit shows."""

METADATA_KEYS: Final = (
    KEY_CONTRACT,
    KEY_ARCHITECTURE,
    KEY_LATENT_DIM,
    KEY_CLASSES,
    KEY_TRAINING,
    KEY_CHECKPOINT_SHA256,
    KEY_VERSIONS,
    KEY_VERIFICATION,
    KEY_EVALUATION,
    KEY_FILE_SHA256,
)
DIGEST_PLACEHOLDER: Final = "0" * 64

OPERATORS: Final = frozenset(
    {
        "Add", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Gather", "Gemm",
        "LeakyRelu", "MatMul", "Mul", "Relu", "Reshape", "Round", "Squeeze", "Tanh", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
"""Standard-domain operators that a file may hold: all have CPU and CUDA kernels in onnxruntime, none can
allocate more than its inputs' shapes imply, none depends on batch statistics or carries a subgraph."""
