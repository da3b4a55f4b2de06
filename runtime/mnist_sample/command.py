"""Carries out one request of the command line: draws, has it written, shows."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import find_descriptor, refuse_input
from mnist_sample.job import Format, Job, Request
from mnist_sample.planning import check_request, plan_job
from mnist_sample.process import unwinding
from mnist_sample.randomness import check_range
from mnist_sample.sampler import Sampler, Samples
from mnist_sample.writing import write_output

_SHOWN: Final = 64
"""No terminal shows more digits."""


@contextlib.contextmanager
def _explain_shortage() -> Iterator[None]:
    """Turn what Python says where the machine has no more of something into an error for the user."""
    try:
        yield
    except MemoryError:
        raise MnistSampleError("not enough memory: ask for fewer digits, or a smaller --batch-size") from None
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise MnistSampleError("the system starts no more threads: use fewer --threads") from None


def _show(job: Job, stream: TextIO) -> None:
    """Draw the first digits in the terminal."""
    import numpy as np

    from mnist_sample.terminal import detect_depth, draw_terminal

    # Drawn anew: the same digits, and no format has to hand some on.
    images = np.concatenate([batch.images for batch in job.draw(n=min(job.n, _SHOWN))])
    depth = detect_depth(os.environ, getattr(stream, "encoding", None) or "ascii")
    width = shutil.get_terminal_size().columns
    stream.write(draw_terminal(images, job.n, width, depth) + "\n")
    stream.flush()


def _summarise(request: Request, job: Job) -> str:
    sampler = job.sampler
    where = sampler.provider.upper()
    if sampler.provider_note:
        where += f" ({sampler.provider_note})"
    last = f" to {job.start + job.n - 1}" if job.n > 1 else ""
    target = "stdout" if request.out == "-" else request.out
    return f"{target}: seed {job.seed}, sample {job.start}{last}, drawn on {where}"


def _choose_source(form: Format, job: Job) -> tuple[Generator[Samples], int]:
    """Return the batches that the format takes, not yet drawn, and how many pictures they hold."""
    if form == "gif":
        from mnist_sample.walk import FRAMES_PER_STEP, draw_walk

        return draw_walk(job), job.n * FRAMES_PER_STEP
    if form == "idx":
        from mnist_sample.idx import check_idx, count_test, draw_splits

        check_idx(job)
        return draw_splits(job), job.n + count_test(job.n)
    return job.draw(), job.n


def _draw_and_write(request: Request, form: Format, job: Job) -> None:
    source, pictures = _choose_source(form, job)
    with contextlib.closing(source) as drawn:  # ends the threads at once when writing fails
        batches: Iterable[Samples] = drawn
        if not request.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from mnist_sample.progress import track

            batches = track(drawn, pictures, sys.stderr)
        write_output(request, form, job, batches)


def run(request: Request) -> None:
    """Carry out a request.

    Raises:
        MnistSampleError: it failed, or it makes no sense; nothing half-written is left.
    """
    form = check_request(request)
    if find_descriptor(request.out) == 1:
        request = replace(request, out="-")
    with _explain_shortage():
        sampler = Sampler(request.model, request.provider, request.threads, request.batch_size)
        if request.out != "-":
            refuse_input(Path(request.out), [sampler.model.path])
        job = plan_job(request, sampler)
        check_range(job.seed, job.start, job.n)
        show = request.show
        if show is None:
            show = form == "png" and not request.quiet and sys.stdout.isatty()
        with unwinding():
            _draw_and_write(request, form, job)
        if show:
            _show(job, sys.stderr if request.out == "-" else sys.stdout)
    if not request.quiet:
        with contextlib.suppress(OSError):  # the digits are written, whoever may be told
            print(_summarise(request, job), file=sys.stderr)
