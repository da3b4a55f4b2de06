"""Runs the command with an accident in its third batch; run as a process of its own.

`python -m tests.runtime.saboteur ACCIDENT ARGUMENTS...`: `kill`, `term` and `hangup` send this process the
signal, `term twice` sends it again while a folder is removed, `interrupt while renaming` sends SIGINT before
each file takes its place, `interrupt while naming` once a temporary file or folder is made, and `interrupt
at end` once all is written. `ACCIDENT` may also be `full`, which
lets no file grow beyond a kilobyte or so, or `none`. With `WORKERS=1` in the environment, folders are written
by worker processes; their ids are printed before the accident, `term at start` sends SIGTERM while they
start, `term at the last` while the last pictures are written, and `kill a worker` kills one.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from mnist_sample import __main__, session
from mnist_sample import process as command_process

SIGNALS = {
    "kill": signal.SIGKILL,
    "term": signal.SIGTERM,
    "term twice": signal.SIGTERM,
    "hangup": signal.SIGHUP,
}
FULL_BYTES = 1500
CLEAN_BATCHES = 2
YIELDS = 10_000


def signalled_before(call: Callable[..., Any], number: signal.Signals = signal.SIGTERM) -> Callable[..., Any]:
    """Return `call` with a signal to this process before it."""

    def signalled(*passed: Any, **named: Any) -> Any:
        os.kill(os.getpid(), number)
        for _ in range(YIELDS):  # for another thread to take it, where this one has masked it
            if number not in signal.sigpending():
                break
            os.sched_yield()
        return call(*passed, **named)

    return signalled


def interrupted_after(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` with SIGINT to this process before it returns."""

    def interrupted(*passed: Any, **named: Any) -> Any:
        made = call(*passed, **named)
        signal.raise_signal(signal.SIGINT)
        return made

    return interrupted


def main(accident: str, arguments: list[str]) -> None:
    """Run the command line with the accident arranged."""
    if os.environ.get("WORKERS"):
        mock.patch("mnist_sample.folder._PROCESSES_FROM", 1).start()
        mock.patch("mnist_sample.writing.count_cpus", return_value=2).start()
    if accident == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
    if accident == "term twice":
        mock.patch("shutil.rmtree", signalled_before(shutil.rmtree)).start()
    if accident == "interrupt while renaming":
        mock.patch.object(Path, "replace", signalled_before(Path.replace, signal.SIGINT)).start()
    if accident == "interrupt while naming":
        for name in ("mkstemp", "mkdtemp"):
            mock.patch(f"tempfile.{name}", interrupted_after(getattr(tempfile, name))).start()
    if accident == "interrupt at end":
        ending = signalled_before(command_process.end, signal.SIGINT)
        mock.patch("mnist_sample.process.end", ending).start()
    workers: list[subprocess.Popen[bytes]] = []

    def start_process(*passed: Any, **named: Any) -> Any:
        workers.append(start_it(*passed, **named))
        return workers[-1]

    start_it = subprocess.Popen
    starting = signalled_before(start_process) if accident == "term at start" else start_process
    mock.patch("subprocess.Popen", starting).start()
    if accident == "term at the last":
        kind = type("Kind", (threading.Thread,), {"join": signalled_before(threading.Thread.join)})
        mock.patch("mnist_sample.pngworkers.Thread", kind).start()
    run_graph, runs = session.run_graph, 0

    def run(*passed: Any) -> Any:
        nonlocal runs
        runs += 1
        if accident in SIGNALS and runs > CLEAN_BATCHES:
            # At once, since another thread may be here too.
            os.write(1, (" ".join(str(worker.pid) for worker in workers) + "\n").encode())
            os.kill(os.getpid(), SIGNALS[accident])
        if accident == "kill a worker" and runs > CLEAN_BATCHES:
            workers[0].kill()
        return run_graph(*passed)

    # Else all batches would be drawn before the first is written, and nothing would stand half-written.
    mock.patch("mnist_sample.sampler._BATCHES_TOGETHER", 1).start()
    mock.patch("mnist_sample.sampler.run_graph", run).start()
    sys.argv = ["mnist-sample", *arguments]
    __main__.main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
