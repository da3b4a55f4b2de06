"""What a check looks at, and what it finds."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from export.errors import ExportError, InvalidGraphError
from mnist_sample import contract
from mnist_sample.cuda import (
    capture_output,
    explain_load_failure,
    find_device_problem,
    find_package_problem,
)
from mnist_sample.engine import onnxruntime as ort
from mnist_sample.errors import ProviderError
from mnist_sample.modelfile import ModelFile, parse_model
from mnist_sample.randomness import draw_labels, draw_latents
from mnist_sample.sampler import MAX_TRUNCATION
from mnist_sample.session import CUDA_OPTIONS
from mnist_sample.text import first_line
from models.checkpoint import Checkpoint

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", CUDA_OPTIONS),
}
SCALES = (0.0, 0.5, 2.0, 10.0, 1000.0)
"""Factors for latents out of the ordinary: zeros, those of `--truncation`, and norms that saturate."""
FATAL = 4
"""onnxruntime's log level that keeps its warnings from the user; what they warn of is checked here."""


@dataclass(frozen=True)
class Finding:
    """A check that held.

    Attributes:
        name: of the check, as the report and the file's metadata call it.
        text: what was found, for people.
        figures: measured differences to keep in the file, by what was compared.
    """

    name: str
    text: str
    figures: Mapping[str, float] = field(default_factory=dict)


class _NoClip(TorchFunctionMode):
    """While entered, PyTorch does not clip."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return the first argument of `hardtanh`, and what any other function returns."""
        return args[0] if func is F.hardtanh else func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Candidate:
    """A file's bytes beside the checkpoint that they should stand for.

    Attributes:
        content: the bytes of the ONNX file.
        checkpoint: what it was made from.
        sha256: of the checkpoint's bytes.
        generator: the original generator on the CPU, not folded.
        atol: the largest difference of `sample` from PyTorch's in float64.
        provider: `cpu` or `cuda`: where onnxruntime runs for the comparisons.
        seed: of the latents that the recorded figures come from.
        fresh_seed: of further latents, new each time.
        draft: whether the measured differences are still missing from the metadata.
    """

    content: bytes
    checkpoint: Checkpoint
    sha256: str
    generator: nn.Module
    atol: float
    provider: str
    seed: int
    fresh_seed: int
    draft: bool = False

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The parsed file."""
        try:
            return onnx.load_from_string(self.content)
        except Exception as error:  # protobuf's DecodeError has no stable home
            raise InvalidGraphError("the file is not an ONNX model") from error

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return {entry.key: entry.value for entry in self.model.metadata_props}

    @cached_property
    def accepted(self) -> ModelFile:
        """What the sampler reads from the file, once for all who ask.

        Raises:
            ModelFileError: it refuses the file.
        """
        return parse_model(self.content, Path("candidate"))

    @cached_property
    def session(self) -> ort.InferenceSession:
        """Onnxruntime as users run it."""
        return self.open_session(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)

    @cached_property
    def double(self) -> nn.Module:
        """The generator in float64."""
        return copy.deepcopy(self.generator).double()

    def open_session(self, level: ort.GraphOptimizationLevel) -> ort.InferenceSession:
        """Return what `open_session` does for the file."""
        return open_session(self.content, self.provider, level)

    def draw(self, n: int, seed: int, scale: float = 1.0) -> Arrays:
        """Return inputs for `n` rows: latents times `scale`, and labels that cycle through all.

        About half of the rows have latents that `mnist_sample` draws, which are few of all numbers, and could
        be told from others; the rest any normal ones, as other programs would draw them.
        """
        random = np.random.default_rng([seed, n])
        latent_dim, classes = self.checkpoint.config.latent_dim, self.checkpoint.config.classes
        latent = random.standard_normal((n, latent_dim)).astype(np.float32)
        series, start = random.integers(2**62, size=2).tolist()
        own = random.random(n) < 0.5
        latent[own] = draw_latents(series, start, n, latent_dim)[own]
        return self._as_inputs(latent * np.float32(scale), (np.arange(n) + seed) % max(classes, 1))

    def draw_truncated(self, n: int, seed: int) -> Arrays:
        """Return inputs for `n` rows as `mnist_sample` draws them, each with a `--truncation` of its own."""
        random = np.random.default_rng([seed, n])
        series, start = random.integers(2**62, size=2).tolist()
        return self._draw_own(n, series, start, random.uniform(0, MAX_TRUNCATION, (n, 1)))

    def draw_first(self, n: int) -> Arrays:
        """Return the inputs of the first `n` digits that `mnist_sample` draws where nobody names others."""
        return self._draw_own(n, 0, 0, np.ones((n, 1)))

    def _draw_own(self, n: int, series: int, start: int, truncation: Array) -> Arrays:
        latent_dim, classes = self.checkpoint.config.latent_dim, self.checkpoint.config.classes
        latent = draw_latents(series, start, n, latent_dim) * truncation.astype(np.float32)
        return self._as_inputs(latent, draw_labels(series, start, n, max(classes, 1)))

    def _as_inputs(self, latent: Array, label: Array) -> Arrays:
        inputs: Arrays = {contract.INPUT_LATENT: latent}
        if self.checkpoint.config.classes:
            inputs[contract.INPUT_LABEL] = label
        return inputs

    def run(self, inputs: Arrays) -> tuple[Array, Array]:
        """Return onnxruntime's `image` and `sample`."""
        return run_session(self.session, inputs)

    def run_torch(self, inputs: Arrays, dtype: torch.dtype, clip: bool = True) -> Array:
        """Return PyTorch's `sample` float64 `[batch, 1, 28, 28]`, computed in `dtype`; or what it clips."""
        generator = self.double if dtype is torch.float64 else self.generator
        latent = torch.from_numpy(inputs[contract.INPUT_LATENT]).to(dtype)
        label = [torch.from_numpy(inputs[contract.INPUT_LABEL])] if contract.INPUT_LABEL in inputs else []
        with torch.inference_mode(), contextlib.nullcontext() if clip else _NoClip():
            sample: Array = generator(latent, *label).double().numpy()
        return sample


def refuse_without_cuda() -> None:
    """Raise ProviderError, with the cause and the remedy, where no session can run on CUDA."""
    problem = find_device_problem() or find_package_problem(ort.get_available_providers())
    if problem:
        raise ProviderError(f"CUDA does not work here: {problem}")


def open_session(
    content: bytes,
    provider: str,
    level: ort.GraphOptimizationLevel = ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
) -> ort.InferenceSession:
    """Return an onnxruntime session on the provider that was asked for, and on no other, in mid-run neither.

    Raises:
        InvalidGraphError: onnxruntime does not load the file.
        ProviderError: CUDA was asked for and does not work here; with the cause and the remedy.
    """
    chosen = PROVIDERS[provider]
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = FATAL
    options.intra_op_num_threads = 1  # as mnist_sample does; and the figures are no matter of threads
    if provider == "cuda":
        refuse_without_cuda()
    with capture_output() as noise:
        try:
            session = ort.InferenceSession(content, options, providers=[chosen])
        except Exception as error:  # onnxruntime's errors share no base class
            raise InvalidGraphError(f"onnxruntime does not load the file: {first_line(error)}") from error
    if session.get_providers()[0] != chosen[0]:
        raise ProviderError(f"CUDA does not work here: {explain_load_failure(''.join(noise))}")
    session.disable_fallback()
    return session


def largest_difference(a: Array, b: Array) -> float:
    """Return the largest absolute difference; infinity where the shapes differ, NaN where there is one."""
    return float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else np.inf


def find_largest(differences: Iterable[float]) -> float:
    """Return the largest of some differences; NaN where there is one, which Python's `max` may pass over."""
    return float(np.max(list(differences)))


@contextlib.contextmanager
def evaluating(kind: type[ExportError], what: str) -> Iterator[None]:
    """Tell in one line what ONNX's reference evaluator fails at in the block.

    Raises:
        ExportError: of that kind, with `what` and the cause.
        MemoryError: as it comes, since it says nothing of the file.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # the evaluator raises whatever NumPy raises
        raise kind(f"{what}: {first_line(error)}") from error


def run_session(session: ort.InferenceSession, inputs: Arrays) -> tuple[Array, Array]:
    """Return the session's `image` and `sample`."""
    image, sample = session.run([contract.OUTPUT_IMAGE, contract.OUTPUT_SAMPLE], inputs)
    return cast(Array, image), cast(Array, sample)
