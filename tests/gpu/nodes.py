"""Where does each node of the graph run, by onnxruntime's own profile?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

from mnist_sample.modelfile import read_model
from mnist_sample.session import open_session
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.gpu.sessions import PROVIDERS, draw_feeds, draw_images, open_bare

ROWS: Final = 64
COPY: Final = "Memcpy"
"""How onnxruntime names the nodes that it puts between host and device."""


def count_nodes(context: Context, report: Report) -> None:
    """Count the nodes by provider, and the copies among them."""
    model, provider = read_model(context.model), context.provider
    session = open_bare(model, provider, profile=context.out / "profile")
    draw_images(session, draw_feeds(model, ROWS))
    nodes = read_profile(Path(session.end_profiling()))
    for place in sorted({place for place, _ in nodes}):
        kinds = Counter(kind for where, kind in nodes if where == place)
        text = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        report.measure(f"nodes on {place}", f"{kinds.total()}: {text}", **kinds)
    elsewhere = [kind for place, kind in nodes if place != PROVIDERS[provider]]
    report.check(f"nodes not on {provider}", not elsewhere, ", ".join(elsewhere) or "none")
    copies = [kind for _, kind in nodes if kind.startswith(COPY)]
    report.check("copies between host and device", not copies, ", ".join(copies) or "none")
    opened = open_session(model, provider)
    report.check("the package's session, other providers forbidden", opened.provider == provider, "opens")


def read_profile(path: Path) -> list[tuple[str, str]]:
    """Return the provider and the kind of each node that ran, in order."""
    events = json.loads(path.read_text())
    return [
        (event["args"]["provider"], event["args"]["op_name"])
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
