"""How long the command takes to start, beside a bare script that draws and saves five digits.

    python -m tests.benchmarks.sampler_start [MODEL]

Targets: 1.35 times the script; `--help` and `--version` below 0.1 s.
"""

from __future__ import annotations

import sys
import tempfile

from mnist_sample.modelfile import read_model
from tests.benchmarks.arguments import Model, start
from tests.benchmarks.rounds import MNIST_SAMPLE, describe, ratios, run_process, take_turns

ROUNDS = 15
BARE = """
import sys
import numpy as np
import onnxruntime as ort
from PIL import Image
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
latent, *label = session.get_inputs()
feeds = {latent.name: np.random.default_rng(0).standard_normal((5, latent.shape[1]), np.float32)}
feeds |= {value.name: np.arange(5) for value in label}
(images,) = session.run(["image"], feeds)
Image.fromarray(np.concatenate(list(images), axis=1)).save(sys.argv[2])
"""


def main(path: Model = None) -> None:
    """Print seconds and ratios."""
    model = str(read_model(path).path)
    with tempfile.TemporaryDirectory() as folder:
        five = [*MNIST_SAMPLE, "--model", model, "--n", "5", "--out", f"{folder}/digits.png"]
        bare = [sys.executable, "-c", BARE, model, f"{folder}/bare.png"]
        usages = take_turns(
            {
                "bare script": lambda: run_process(bare),
                "mnist-sample --n 5": lambda: run_process(five),
                "mnist-sample --help": lambda: run_process([*MNIST_SAMPLE, "--help"]),
                "mnist-sample --version": lambda: run_process([*MNIST_SAMPLE, "--version"]),
            },
            ROUNDS,
        )
    print(f"{ROUNDS} rounds: seconds, then CPU seconds, median [range]")
    for name, values in usages.items():
        wall, cpu = [usage.wall for usage in values], [usage.cpu for usage in values]
        print(f"{name:<24} {describe(wall):<28} {describe(cpu)}")
    for kind in ("wall", "cpu"):
        above, below = (
            [getattr(usage, kind) for usage in usages[name]] for name in ("mnist-sample --n 5", "bare script")
        )
        print(f"mnist-sample / bare script, {kind}: {describe(ratios(above, below), 2)}, target 1.35")


if __name__ == "__main__":
    start(main)
