"""Sees on a machine with an NVIDIA GPU whatever this project says of CUDA, in less than 9 minutes.

    python -m tests.gpu [--out DIR] [--data DIR] [--model FILE] [--part NAME]...

Run it in the root of the checkout, in an environment with the `train` and `cuda` extras. Where
onnxruntime-gpu lies in a folder of its own (`pip install --target`), it finds NVIDIA's libraries only there:
install its own extras into it too, or name their folders in `LD_LIBRARY_PATH`. It prints a table
and leaves in `--out` a JSON file and a log for each part, `results.json` with all of them, and pictures.
`--data` names a folder of MNIST's IDX files, without which the training records are not run. Where there is
no GPU, the parts run small on the CPU, as a rehearsal, and say of CUDA "not run" and why. The exit code is 1
if a claim failed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.gpu.agreement import compare_with_cpu
from tests.gpu.captured_step import compare_steps
from tests.gpu.context import describe_machine, look_around
from tests.gpu.exporting import export_what_was_trained
from tests.gpu.first_call import measure_first_call
from tests.gpu.nodes import count_nodes
from tests.gpu.provider_errors import provoke_errors
from tests.gpu.records import train_to_records
from tests.gpu.report import count_outcomes, write_json
from tests.gpu.resuming import go_on_after_interruption
from tests.gpu.runner import Part, run_part
from tests.gpu.throughput import measure_throughput
from tests.gpu.torchrun import run_under_torchrun
from tests.gpu.whole_command import measure_command

TOTAL_SECONDS: Final = 530.0
PARTS: Final = (
    Part("agreement", "Pictures of CUDA and of the CPU", compare_with_cpu, 45, samples=True),
    Part("nodes", "Where the graph's nodes run", count_nodes, 25, samples=True),
    Part("errors", "Errors where CUDA is hidden", provoke_errors, 60),
    Part("first-call", "The first picture", measure_first_call, 60, samples=True),
    Part("throughput", "Images per second by batch size", measure_throughput, 150, samples=True, trains=True),
    Part("command", "The whole command", measure_command, 90, samples=True),
    Part("step", "The captured training step", compare_steps, 45, trains=True),
    Part("export", "Checks of an export", export_what_was_trained, 60, samples=True, trains=True),
    Part("torchrun", "Training under torchrun", run_under_torchrun, 60, trains=True),
    Part("resume", "Going on with a run", go_on_after_interruption, 140, trains=True),
    Part("records", "Time to the real digits' distance", train_to_records, 120, trains=True),
)


def main(
    out: Annotated[Path, typer.Option(help="Folder for JSON, logs and pictures.")] = Path("runs/gpu"),
    data: Annotated[Path | None, typer.Option(help="Folder of MNIST's IDX files.")] = None,
    model: Annotated[Path | None, typer.Option(help="The generator.  [default: the bundled one]")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Run this part only; may be given again.")] = None,
) -> None:
    """Run all parts, print the table, and exit with 1 if a claim failed."""
    unknown = set(part or ()) - {each.name for each in PARTS}
    if unknown:
        known = ", ".join(each.name for each in PARTS)
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))} is unknown; there are {known}", param_hint="--part"
        )
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    context = look_around(out.resolve(), model and model.resolve(), data and data.resolve())
    machine = describe_machine(context)
    print("\n".join(f"{name}: {value}" for name, value in machine.items() if value != ""))
    results = {}
    for each in PARTS:
        if part and each.name not in part:
            continue
        print(f"\n{each.name}: {each.title}", flush=True)
        left = TOTAL_SECONDS - (time.monotonic() - begun)
        results[each.name] = run_part(each, context, max(0.0, min(each.seconds, left)))
        print("\n".join(map(str, results[each.name])), flush=True)
        write_json(
            out / "results.json",
            {"machine": machine, "parts": {name: [*map(asdict, lines)] for name, lines in results.items()}},
        )
    counts = count_outcomes([line for lines in results.values() for line in lines])
    seconds = time.monotonic() - begun
    print(f"\n{', '.join(f'{count} {name}' for name, count in counts.items())}; {seconds:.0f} s, in {out}")
    sys.exit(1 if counts["FAILS"] else 0)


if __name__ == "__main__":
    typer.run(main)
