"""Sessions with options that the package does not offer, for comparison with those it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract
from mnist_sample.engine import onnxruntime
from mnist_sample.modelfile import ModelFile
from mnist_sample.randomness import draw_labels, draw_latents
from mnist_sample.session import ProviderChoice

PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

Feeds = dict[str, NDArray[Any]]


def draw_feeds(model: ModelFile, rows: int) -> Feeds:
    """Return the inputs of samples 0 to `rows` of seed 0."""
    feeds: Feeds = {contract.INPUT_LATENT: draw_latents(0, 0, rows, model.latent_dim)}
    if model.classes:
        feeds[contract.INPUT_LABEL] = draw_labels(0, 0, rows, len(model.classes))
    return feeds


def open_bare(
    model: ModelFile,
    provider: ProviderChoice,
    cuda_options: Mapping[str, str] | None = None,
    profile: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Open a session whose nodes may also run on the CPU.

    Args:
        model: the file.
        provider: `cuda` or `cpu`.
        cuda_options: in place of, or beside, `use_tf32=0` and the heuristic search.
        profile: prefix of the profile to write, None for none.

    Raises:
        RuntimeError: the session does not run on CUDA.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if provider == "cuda":
        onnxruntime.preload_dlls()
    chosen = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", **(cuda_options or {})}
    session = onnxruntime.InferenceSession(
        model.content, options, providers=[(PROVIDERS[provider], chosen if provider == "cuda" else {})]
    )
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise RuntimeError(f"the session runs on {session.get_providers()}")
    return session


def draw_images(session: onnxruntime.InferenceSession, feeds: Feeds) -> NDArray[np.uint8]:
    """Return pictures uint8 `[rows, 28, 28]` by a plain call."""
    return cast(NDArray[np.uint8], session.run([contract.OUTPUT_IMAGE], feeds)[0])


class BoundBatch:
    """A session with one batch's inputs and pictures at fixed addresses on its device."""

    def __init__(self, session: onnxruntime.InferenceSession, provider: str, feeds: Feeds) -> None:
        self._session = session
        self._feeds = feeds
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(rows, provider, 0) for name, rows in feeds.items()
        }
        shape = [len(feeds[contract.INPUT_LATENT]), contract.IMAGE_SIZE, contract.IMAGE_SIZE]
        self._images = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, provider, 0)
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_ortvalue_output(contract.OUTPUT_IMAGE, self._images)

    def stay(self) -> None:
        """Make the pictures and leave them on the device."""
        self._session.run_with_iobinding(self._binding)

    def go_and_return(self) -> NDArray[np.uint8]:
        """Bring the inputs to the device, make the pictures, and bring them back: uint8 `[rows, 28, 28]`."""
        for name, value in self._inputs.items():
            value.update_inplace(self._feeds[name])
        self._session.run_with_iobinding(self._binding)
        images: NDArray[np.uint8] = self._images.numpy()
        return images
