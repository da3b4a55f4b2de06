"""What the parts of the run need to know of the machine and of the request."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_sample.engine import onnxruntime
from mnist_sample.errors import MnistSampleError
from mnist_sample.modelfile import read_model
from mnist_sample.sampler import count_cpus
from mnist_sample.session import ProviderChoice, open_session


@dataclass(frozen=True)
class Context:
    """One run of all parts.

    Attributes:
        out: folder for JSON and pictures.
        model: the generator file, None for the bundled one.
        data: folder of MNIST's IDX files, None where there is none.
        sampling_problem: why onnxruntime does not run on CUDA here; empty where it does.
        training_problem: why PyTorch does not; empty where it does.
    """

    out: Path
    model: Path | None
    data: Path | None
    sampling_problem: str
    training_problem: str

    @property
    def provider(self) -> ProviderChoice:
        """Where onnxruntime runs: on CUDA, or for a rehearsal on the CPU."""
        return "cpu" if self.sampling_problem else "cuda"

    @property
    def device(self) -> str:
        """Where PyTorch runs: on CUDA, or for a rehearsal on the CPU."""
        return "cpu" if self.training_problem else "cuda"


def look_around(out: Path, model: Path | None, data: Path | None) -> Context:
    """Find out what works here."""
    problem = "" if torch.cuda.is_available() else "PyTorch finds no usable CUDA device"
    return Context(out, model, data, _find_sampling_problem(model), problem)


def _find_sampling_problem(path: Path | None) -> str:
    try:
        open_session(read_model(path), "cuda")
    except MnistSampleError as error:
        return str(error)
    return ""


def describe_machine(context: Context) -> dict[str, Any]:
    """Return what a reader of the figures must know, as JSON values."""
    gpu: dict[str, Any] = {}
    if not context.training_problem:
        properties = torch.cuda.get_device_properties(0)
        gpu = {
            "gpu": properties.name,
            "gpu_memory": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "torch_cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return {
        **gpu,
        "cpus": count_cpus(),
        "processor": _name_processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        "sampling_problem": context.sampling_problem,
        "training_problem": context.training_problem,
    }


def _name_processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = [line for line in facts.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
