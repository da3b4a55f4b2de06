"""Opens onnxruntime sessions, and believes only what the open session says of its provider."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract
from mnist_sample.cuda import (
    INSTALL,
    Problem,
    capture_output,
    explain_load_failure,
    find_device_problem,
    find_package_problem,
)
from mnist_sample.engine import onnxruntime
from mnist_sample.errors import ModelFileError, ProviderError
from mnist_sample.modelfile import ModelFile
from mnist_sample.text import first_line

ProviderChoice = Literal["auto", "cuda", "cpu"]
ProviderName = Literal["cuda", "cpu"]

_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_FATAL: Final = 4
CUDA_OPTIONS: Final = {
    # TF32 keeps 10 bits of each factor: pictures would differ from the CPU's by more than a grey level.
    "use_tf32": "0",
    # The exhaustive search, the default, is paid anew for each batch shape.
    "cudnn_conv_algo_search": "HEURISTIC",
}
_TRIED_ROWS: Final = 8
_MESSAGE_LETTERS: Final = 300
"""Of what onnxruntime says."""


class OpenSession(NamedTuple):
    """A session and where it really runs.

    Attributes:
        session: the onnxruntime session.
        provider: `cuda` or `cpu`.
        note: why `auto` did not take CUDA; empty otherwise.
    """

    session: onnxruntime.InferenceSession
    provider: ProviderName
    note: str = ""


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Several threads each run their own batches (see sampler.py); a pool inside the session would only
    # add the cost of meeting at the end of each operator.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Failures come as exceptions; warnings about a checked file help nobody.
    options.log_severity_level = _FATAL
    return options


def _open_cpu(model: ModelFile) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model.content, _options(), providers=[_CPU])
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise ModelFileError(
            f"onnxruntime {onnxruntime.__version__} cannot load model file {model.path}: "
            f"{first_line(error, _MESSAGE_LETTERS)}; upgrade onnxruntime, or make the file again with "
            "`python -m export`"
        ) from None


def _open_cuda(model: ModelFile, rows: int) -> onnxruntime.InferenceSession | Problem:
    """Open a session that has drawn on CUDA, or return why there can be none."""
    problem = find_device_problem() or find_package_problem(onnxruntime.get_available_providers())
    if problem:
        return problem
    options = _options()
    options.log_severity_level = 2  # what it says when it fails is the diagnosis
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    failure = ""
    with capture_output() as noise:
        try:
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(model.content, options, providers=[(_CUDA, CUDA_OPTIONS)])
            if session.get_providers()[:1] == [_CUDA]:
                # Else onnxruntime would go on on CPU when CUDA fails in mid-run.
                session.disable_fallback()
                _try_out(session, model, rows)
                return session
        except Exception as error:
            failure = first_line(error, _MESSAGE_LETTERS)
    return explain_load_failure("\n".join([*noise, failure]))


def _try_out(session: onnxruntime.InferenceSession, model: ModelFile, rows: int) -> None:
    """Draw a batch: without cuDNN, or on a GPU that it has no code for, onnxruntime fails only then."""
    latents, labels = np.zeros((rows, model.latent_dim), np.float32), np.zeros(rows, np.int64)
    session.run([contract.OUTPUT_IMAGE], make_feeds(model, latents, labels))


def make_feeds(
    model: ModelFile, latents: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return the graph's inputs by name; an unconditional model takes no labels."""
    feeds: dict[str, NDArray[Any]] = {contract.INPUT_LATENT: latents}
    if model.classes:
        feeds[contract.INPUT_LABEL] = labels
    return feeds


def open_session(model: ModelFile, provider: ProviderChoice, rows: int = _TRIED_ROWS) -> OpenSession:
    """Open a session for a checked model.

    Args:
        model: the file's checked bytes.
        provider: `cuda` means it; `auto` takes CUDA where it really draws, else CPU.
        rows: how many samples CUDA is tried with. Each batch size costs its own preparation, so the size
            that is wanted next costs nothing.

    Raises:
        ProviderError: `cuda` was asked for and does not work here.
        ModelFileError: onnxruntime refuses the model.
    """
    if provider == "cpu":
        return OpenSession(_open_cpu(model), "cpu")
    session = _open_cuda(model, rows)
    if not isinstance(session, Problem):
        return OpenSession(session, "cuda")
    if provider == "cuda":
        raise ProviderError(f"CUDA does not work here: {session}")
    return OpenSession(_open_cpu(model), "cpu", note=session.cause)


def run_graph(opened: OpenSession, feeds: dict[str, NDArray[Any]], output: str) -> NDArray[Any]:
    """Run the graph for one output.

    Raises:
        ProviderError: the provider failed; there is no going on with another.
        MemoryError: the batch is too large for this machine.
    """
    options = None
    if opened.provider == "cuda":  # whose session says more than the error does
        options = onnxruntime.RunOptions()
        options.log_severity_level = _FATAL
    try:
        return cast(NDArray[Any], opened.session.run([output], feeds, options)[0])
    except MemoryError:
        raise
    except Exception as error:
        if "bad_alloc" in str(error):
            raise MemoryError from None
        remedy = f"; run with --provider cpu, or mend CUDA: {INSTALL}" if opened.provider == "cuda" else ""
        raise ProviderError(
            f"{opened.provider.upper()} failed while drawing: {first_line(error, _MESSAGE_LETTERS)}{remedy}"
        ) from None
