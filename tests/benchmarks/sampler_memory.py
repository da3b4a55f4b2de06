"""Peak memory for many digits beside that for few, in each format that streams.

    python -m tests.benchmarks.sampler_memory [MODEL] [MANY]

Target: 1.2 times. A folder of a million PNGs takes 4 GB of disk and some minutes.
"""

from __future__ import annotations

import tempfile

from mnist_sample.modelfile import read_model
from tests.benchmarks.arguments import Count, Model, start
from tests.benchmarks.rounds import MNIST_SAMPLE, run_process

FEW = 10_000
MANY = 1_000_000
OUTPUTS = {
    "npz": ["--out", "{}/digits.npz"],
    "npy": ["--out", "{}/digits.npy"],
    "idx": ["--out", "{}/idx", "--format", "idx"],
    "folder": ["--out", "{}/folder/"],
}


def measure_peak(model: str, n: int, output: list[str]) -> int:
    """Return the peak memory of one run, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        options = [option.format(folder) for option in output]
        command = [*MNIST_SAMPLE, "--model", model, "--provider", "cpu", "--n", str(n), *options]
        return run_process(command).peak


def main(path: Model = None, many: Count = MANY) -> None:
    """Print peaks and their ratio."""
    model = str(read_model(path).path)
    for name, output in OUTPUTS.items():
        few, most = (measure_peak(model, n, output) for n in (FEW, many))
        print(
            f"{name:<8} {FEW:,}: {few / 1e6:.1f} MB, {many:,}: {most / 1e6:.1f} MB, "
            f"ratio {most / few:.2f}, target 1.2",
            flush=True,
        )


if __name__ == "__main__":
    start(main)
