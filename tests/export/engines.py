"""Other engines that run an exported file, and the table of how far they are from PyTorch.

    python -m tests.export.engines GEN_PT GEN_ONNX

OpenVINO, OpenCV and tract come with `pip install openvino opencv-python-headless tract`; onnxruntime-web with
`npm install onnxruntime-web`, in the checkout or in a folder whose `node_modules` the environment variable
NODE_PATH names.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.checks.candidate import Array, Arrays, Candidate
from export.checks.greyscale import round_to_grey
from export.command import DEFAULT_ATOL
from models import checkpoint as checkpoints
from tests.benchmarks.arguments import start

HERE = Path(__file__).parent
Answer = tuple[str, Array, Array]
"""The engine's version, and its `image` and `sample`."""
BATCHES = (1, 7, 64)
TABLE_BATCHES = (1, 7, 64, 257, 1000)


class MissingEngineError(Exception):
    """The engine is not installed; the message says what would install it."""


def run_onnxruntime(path: Path, inputs: Arrays) -> Answer:
    """Run the file in the onnxruntime of this Python, on the CPU."""
    from mnist_sample.engine import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image, sample = session.run(["image", "sample"], inputs)
    return onnxruntime.__version__, np.asarray(image), np.asarray(sample)


def import_engine(module: str, package: str) -> Any:
    """Return the module by name, since its stubs are there only where it is.

    Raises:
        MissingEngineError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingEngineError(f"needs {module}: pip install {package}") from error


def run_openvino(path: Path, inputs: Arrays) -> Answer:
    """Run the file in OpenVINO on the CPU, in float32."""
    openvino = import_engine("openvino", "openvino")
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled(inputs)
    return openvino.__version__.split("-")[0], np.asarray(answer["image"]), np.asarray(answer["sample"])


def run_opencv(path: Path, inputs: Arrays) -> Answer:
    """Run the file in OpenCV's module for networks."""
    cv2 = import_engine("cv2", "opencv-python-headless")
    network = cv2.dnn.readNetFromONNX(str(path))
    for name, rows in inputs.items():
        network.setInput(rows, name)
    image, sample = network.forward(["image", "sample"])
    return cv2.__version__, image, sample


def run_tract(path: Path, inputs: Arrays) -> Answer:
    """Run the file in tract, a library in Rust."""
    tract = import_engine("tract", "tract")
    model = tract.onnx().load(str(path)).into_model().into_runnable()
    image, sample = model.run(list(inputs.values()))  # by place: it names outputs after their nodes
    return importlib.metadata.version("tract"), image.to_numpy(), sample.to_numpy()


def run_web(path: Path, inputs: Arrays) -> Answer:
    """Run the file in onnxruntime-web's WebAssembly under Node.

    Raises:
        MissingEngineError: Node or the package is not installed.
    """
    node = shutil.which("node")
    find = [str(node), "-e", "require.resolve('onnxruntime-web')"]
    if not node or subprocess.run(find, cwd=HERE, capture_output=True, check=False).returncode:
        raise MissingEngineError(
            "needs Node, and onnxruntime-web where it looks: npm install onnxruntime-web"
        )
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "inputs.json"), Path(folder, "outputs.json")
        flat = {name: rows.ravel().tolist() for name, rows in inputs.items()}
        asked.write_text(json.dumps(flat | {"batch": len(inputs["latent"])}))
        subprocess.run([node, HERE / "run_web.cjs", path.resolve(), asked, answered], cwd=HERE, check=True)
        answer: dict[str, Any] = json.loads(answered.read_text())
    image, sample = (
        np.array(answer[name]["data"], answer[name]["type"]).reshape(answer[name]["dims"])
        for name in ("image", "sample")
    )
    return answer["version"], image, sample


ENGINES: dict[str, Callable[[Path, Arrays], Answer]] = {
    "onnxruntime": run_onnxruntime,
    "OpenVINO": run_openvino,
    "OpenCV": run_opencv,
    "tract": run_tract,
    "onnxruntime-web (WebAssembly, Node)": run_web,
}


def compare(
    candidate: Candidate, path: Path, run: Callable[[Path, Arrays], Answer], n: int
) -> tuple[str, float, int, int]:
    """Run a file and compare it with PyTorch in float64.

    Returns:
        The engine's version, the largest difference of `sample` and of `image`, and the pixels that differ.

    Raises:
        MissingEngineError: the engine is not installed.
    """
    inputs = candidate.draw(n, seed=n)
    exact = candidate.run_torch(inputs, torch.float64)
    version, image, sample = run(path, inputs)
    assert (image.dtype, image.shape) == (np.uint8, (n, 28, 28))
    assert (sample.dtype, sample.shape) == (np.float32, (n, 1, 28, 28))
    levels = np.abs(image.astype(int) - round_to_grey(exact.astype(np.float32)))
    return version, float(np.abs(sample - exact).max()), int(levels.max()), int(np.count_nonzero(levels))


def main(source: Path, path: Path) -> None:
    """Print one row of the table for each engine that is installed."""
    checkpoint, sha256 = checkpoints.read(source)
    candidate = Candidate(
        path.read_bytes(), checkpoint, sha256, checkpoint.build_generator(), DEFAULT_ATOL, "cpu", 0, 0
    )
    print("| engine | version | samples | `sample` differs by at most | grey levels | pixels off |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, run in ENGINES.items():
        try:
            rows = [compare(candidate, path, run, n) for n in TABLE_BATCHES]
        except MissingEngineError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        sample, levels, pixels = max(r[1] for r in rows), max(r[2] for r in rows), sum(r[3] for r in rows)
        total = sum(TABLE_BATCHES)
        print(
            f"| {name} | {rows[0][0]} | {total:,} | {sample:.1e} | {levels} | {pixels} of {total * 784:,} |"
        )


if __name__ == "__main__":
    start(main)
