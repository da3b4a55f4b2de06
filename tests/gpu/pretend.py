"""Runs `mnist-sample` as if the machine had a GPU, or a build of onnxruntime for the CPU only.

python -m tests.gpu.pretend gpu,cpu-build --n 5 --provider cuda
"""

from __future__ import annotations

import sys

import mnist_sample.session
from mnist_sample.__main__ import main
from mnist_sample.engine import onnxruntime


def pretend(what: str) -> None:
    """Change what the package sees: `gpu`, `cpu-build`, or both with a comma; empty for neither."""
    if "gpu" in what.split(","):
        vars(mnist_sample.session)["find_device_problem"] = lambda: None
    if "cpu-build" in what.split(","):
        onnxruntime.get_available_providers = lambda: ["CPUExecutionProvider"]


if __name__ == "__main__":
    pretend(sys.argv.pop(1))
    main()
