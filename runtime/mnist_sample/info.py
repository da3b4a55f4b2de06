"""Tells what a model file says of itself, and which providers work here."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mnist_sample import __version__
from mnist_sample.engine import onnxruntime
from mnist_sample.errors import ProviderError
from mnist_sample.modelfile import ModelFile, read_model
from mnist_sample.session import ProviderChoice, open_session
from mnist_sample.text import make_printable

_MAX_LETTERS: Final = 2000


def describe(path: Path | None) -> str:
    """Return some lines on the model at `path`, the bundled one by default, and on this machine.

    Raises:
        ModelFileError: the file cannot be used.
    """
    model = read_model(path)
    parts = [
        *_describe_model(model),
        "",
        f"mnist-sample {__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}",
        *(f"{name}: {_try_provider(model, name)}" for name in ("cpu", "cuda")),
    ]
    return "\n".join(parts)


def _describe_model(model: ModelFile) -> list[str]:
    classes = " ".join(model.classes) if model.classes else "none (unconditional)"
    return [
        f"model: {_clean(model.path)}, {len(model.content):,} bytes",
        f"sha256: {model.sha256}",
        f"architecture: {_clean(model.architecture)}, latent of {model.latent_dim}, "
        f"{model.cost.multiplies / 1e6:.2f} million multiplications per digit",
        f"classes: {classes}",
        *_list("training", model.training),
        f"checkpoint sha256: {_clean(model.checkpoint_sha256)}",
        *_list("exported with", model.versions),
        *_list("differences from PyTorch, measured at export", model.verification),
        *_describe_quality(model.evaluation),
    ]


def _list(title: str, facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return [f"{title}: not recorded"]
    return [f"{title}:", *(f"  {_clean(name)}: {_clean(value)}" for name, value in facts.items())]


def _describe_quality(evaluation: Mapping[str, Any]) -> list[str]:
    if not evaluation:
        return ["quality: not evaluated"]
    lines = ["quality, generated digits beside real test digits:"]
    for name, figures in evaluation.items():
        pair = figures if isinstance(figures, dict) else {"generated": figures}
        lines.append(
            f"  {_clean(name)}: {_clean(pair.get('generated'))} (real: {_clean(pair.get('real', 'unknown'))})"
        )
    return lines


def _clean(value: object) -> str:
    """Return text that cannot steer a terminal: the file is not to be trusted."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    shown = text if len(text) <= _MAX_LETTERS else f"{text[:_MAX_LETTERS]} ..."
    return make_printable(shown)


def _try_provider(model: ModelFile, name: ProviderChoice) -> str:
    try:
        open_session(model, name)
    except ProviderError as error:
        return f"no; {error}"
    return "works"
