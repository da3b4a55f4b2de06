"""Images per second of generators of several widths in onnxruntime on the CPU, beside the tutorial's.

    python -m tests.benchmarks.generator_speed [--rounds 5] [--images 8192] [--quality widths.json --plot PNG]

`--quality` takes what `python -m tests.benchmarks.train_ladder --table widths` left, and sets the Frechet
distance beside the speed. The weights here are random, since speed does not depend on them. All generators
take turns, each at several batch sizes, the best of which counts. Target: 3 times the tutorial generator's
images per second, aim 5.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import onnx
import torch
import typer
from matplotlib.figure import Figure

from export.convert import annotate, build_graph, describe
from mnist_sample import contract
from mnist_sample.engine import onnxruntime
from mnist_sample.modelfile import ModelFile, parse_model
from models.checkpoint import Checkpoint
from models.registry import get_architecture
from tests.benchmarks.arguments import start
from tests.benchmarks.arithmetic import MATRIX_OPERATIONS, multiply_matrices
from tests.benchmarks.rounds import Usage, median, print_table, ratios, take_turns
from tests.benchmarks.rounds import describe as describe_spread
from tests.benchmarks.sampler_throughput import CPUS, loop_onnxruntime

TUTORIAL: Final = "tutorial"
DEFAULT: Final = "digits, as it comes"
BATCHES: Final = (32, 128)
SHAPES: Final = [
    *({"hidden": hidden, "blocks": 1, "channels": 16} for hidden in (64, 96, 128, 192, 256)),
    *({"hidden": 128, "blocks": blocks, "channels": 16} for blocks in (0, 2)),
    {"hidden": 128, "blocks": 1, "channels": 32},
]
MATRICES: Final = "matrices"


def name_shape(shape: Mapping[str, int]) -> str:
    """Return a generator's shape in words."""
    return ", ".join(f"{name} {value}" for name, value in shape.items())


def make_model(architecture: str, shape: Mapping[str, int]) -> tuple[ModelFile, int]:
    """Return an exported generator with random weights, and how many parameters it has."""
    kind = get_architecture(architecture)
    config: Any = kind.config(**shape)
    generator = kind.generator(config).eval().requires_grad_(False)
    checkpoint = Checkpoint(
        architecture=architecture,
        config=config,
        class_names=tuple(str(digit) for digit in range(config.classes)),
        weights=dict(generator.state_dict()),
    )
    graph = build_graph(checkpoint, generator, contract.OPSET)
    content = annotate(graph, describe(checkpoint, "0" * 64, {}))
    return parse_model(content, Path(architecture)), sum(p.numel() for p in generator.parameters())


def list_operators(model: ModelFile) -> tuple[Counter[str], str]:
    """Return how often each operator stands in the graph that onnxruntime runs, and their order."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = f"{folder}/optimised.onnx"
        options.log_severity_level = 3  # it warns that the file fits this processor only
        onnxruntime.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    names = [_name_operator(node) for node in nodes]
    return Counter(node.op_type for node in nodes), " > ".join(names)


def _name_operator(node: onnx.NodeProto) -> str:
    """Return a node's operator with the activation that is fused into it, if there is one."""
    fused = [attribute.s.decode() for attribute in node.attribute if attribute.name == "activation"]
    return node.op_type + "".join(f"+{activation}" for activation in fused)


def read_distances(path: Path | None) -> dict[str, float]:
    """Return the mean Frechet distance of each shape that was trained."""
    tables = json.loads(path.read_text()) if path else {}
    return {name: statistics.mean(row["Frechet distance"] for row in rows) for name, rows in tables.items()}


def plot_widths(distances: Mapping[str, float], rates: Mapping[str, list[float]], path: Path) -> None:
    """Draw each shape's quality over its speed."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot(
        xlabel="images per second, times the tutorial's generator",
        ylabel="Frechet distance (lower is better)",
    )
    # Neighbours in quality have their names on different sides: they may be neighbours in speed too.
    for place, (name, distance) in enumerate(sorted(distances.items(), key=lambda item: item[1])):
        speed = median(ratios(rates[name], rates[TUTORIAL]))
        axes.plot(speed, distance, "o", color="black")
        aside, align = ((6, 0), "left") if place % 2 else ((-6, 0), "right")
        text = name.replace(", ", "\n")
        axes.annotate(
            text, (speed, distance), aside, textcoords="offset points", ha=align, va="center", fontsize=7
        )
    axes.margins(0.2)
    figure.savefig(path, dpi=120)


def print_speeds(
    models: Mapping[str, tuple[ModelFile, int]],
    rates: Mapping[str, list[float]],
    best: Mapping[str, int],
    matrix_rate: list[float],
    distances: Mapping[str, float],
) -> None:
    """Print the table of widths and speeds."""
    rows = []
    for name, (model, parameters) in models.items():
        operations = 2 * model.cost.multiplies
        share = ratios([operations * rate for rate in rates[name]], matrix_rate)
        rows.append(
            [
                name,
                f"{parameters:,}",
                f"{operations / 1e6:.2f}",
                describe_spread(rates[name], 0),
                str(best[name]),
                describe_spread(ratios(rates[name], rates[TUTORIAL]), 2),
                f"{median(share):.0%}",
                f"{distances[name]:.3f}" if name in distances else "-",
            ]
        )
    headings = ["generator", "parameters", "10^6 operations an image", "images a second", "batch"]
    print_table(
        [*headings, "times the tutorial's", "share of the float32 matrix rate", "Frechet distance"], rows
    )


def print_graphs(models: Mapping[str, tuple[ModelFile, int]]) -> None:
    """Print what onnxruntime makes of the graph: each operator that stands alone is one pass over memory."""
    rows = []
    for name in (DEFAULT, TUTORIAL):
        counts, order = list_operators(models[name][0])
        layout = {kind: counts[kind] for kind in ("ReorderInput", "ReorderOutput", "Transpose")}
        moves = ", ".join(f"{count} {kind}" for kind, count in layout.items())
        rows.append([name, str(counts.total()), moves, order])
    print_table(["optimised graph", "operators", "changes of layout", "in order"], rows)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each generator.")] = 5,
    images: Annotated[int, typer.Option(min=256, help="Images in a turn.")] = 8192,
    quality: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="widths.json of train_ladder.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture of quality over speed, with --quality.")] = None,
) -> None:
    """Print speeds and graphs as tables in Markdown."""
    if plot is not None and quality is None:
        raise typer.BadParameter("draws quality over speed: give --quality too", param_hint="--plot")
    distances = read_distances(quality)
    torch.set_num_threads(CPUS)
    models = {TUTORIAL: make_model("tutorial", {}), DEFAULT: make_model("digits", {})}
    for shape in SHAPES:
        models[name_shape(shape)] = make_model("digits", shape)
    cases: dict[tuple[str, int], Callable[[], Usage]] = {
        (name, batch): loop_onnxruntime(model, images, CPUS, 1, batch)
        for name, (model, _) in models.items()
        for batch in BATCHES
    }
    usages = take_turns({**cases, (MATRICES, 0): multiply_matrices(torch.float32)}, rounds)
    speeds = {case: [images / usage.wall for usage in usages[case]] for case in cases}
    best = {name: max(BATCHES, key=lambda batch: median(speeds[name, batch])) for name in models}
    rates = {name: speeds[name, batch] for name, batch in best.items()}
    matrix_rate = [MATRIX_OPERATIONS / usage.wall for usage in usages[MATRICES, 0]]
    print(f"{CPUS} CPUs, {rounds} rounds of {images} images; median [range]\n")
    print_speeds(models, rates, best, matrix_rate, distances)
    if plot is not None:
        plot_widths(distances, rates, plot)
    print_graphs(models)


if __name__ == "__main__":
    start(main)
