"""The Python interface: digits as arrays, one call or an endless stream."""

from __future__ import annotations

import itertools
import operator
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract
from mnist_sample.errors import UsageError
from mnist_sample.labels import Labels, LabelSource, choose_labels
from mnist_sample.modelfile import ModelFile, read_model
from mnist_sample.randomness import MAX_INDEX, check_range, draw_latents
from mnist_sample.session import ProviderChoice, ProviderName, make_feeds, open_session, run_graph

MAX_BATCH: Final = 65_536
MAX_THREADS: Final = 1024
_CPU_BATCH: Final = 64
_CUDA_BATCH: Final = 1024
"""Larger ones make more images a second on an H100, but a lone digit, which takes a whole batch, waits 0.4 ms
for this one already. `python -m tests.gpu` measures again; docs/speed.md has its figures."""
_CUDA_THREADS: Final = 4
"""With these the command makes as many images a second on an H100 as its disk takes (README, "On a GPU")."""
_DRAWN_TOGETHER: Final = 2048
_BATCHES_TOGETHER: Final = 32
"""A thread draws the latents of so many samples, in so many batches at most, before it runs the first: the
table of normal quantiles and the graph's weights push each other out of the cache, so that each change
between them costs. CPU seconds for 200,000 digits, median of 5: 6.37 for 512 beside 6.19 for 1,024; then 6.23
for 1,024, 6.12 for 2,048, and 6.11 for 8,192."""
_MAX_BATCH_ELEMENTS: Final = 2**25
"""Values held for one batch: a wide generator gets smaller batches, 128 MiB for each thread at most."""
_ROW_MULTIPLE: Final = 8
"""Batches are filled up to a multiple of this, so that a lone sample takes the kernels that many take: matrix
products of one row may round differently."""
_TASKS_AHEAD: Final = 2
"""Finished or running tasks per thread: enough to keep threads busy while the caller writes."""
MAX_TRUNCATION: Final = 2.0


class Samples(NamedTuple):
    """Pictures and their classes.

    Attributes:
        images: uint8 `[n, 28, 28]`, ink 255 on paper 0, as in MNIST.
        labels: int64 `[n]`, class indices; -1 from an unconditional model.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def count_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Sampler:
    """Draws handwritten digits from a model file.

    A sample is named by the model, a seed and an index: it is the same picture in any batch, with any number
    of threads, in any order, and at most one grey level apart between providers and machines.

    Example:
        >>> from mnist_sample import Sampler
        >>> images, labels = Sampler().sample(5, labels=[2, 0, 2, 6, 7], seed=1)
        >>> images.shape, labels.tolist()
        ((5, 28, 28), [2, 0, 2, 6, 7])

    Attributes:
        model: what the model file says of itself.
        session: the open `onnxruntime.InferenceSession`, for those who want to ask or time it.
        provider: where it runs: `cuda` or `cpu`.
        provider_note: why `provider="auto"` did not take CUDA; empty otherwise.
        threads: batches made at a time.
        batch_size: samples made at a time by each thread.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        provider: ProviderChoice = "auto",
        threads: SupportsIndex | None = None,
        batch_size: SupportsIndex | None = None,
    ) -> None:
        """Read the model and open it.

        Args:
            model: path of a `.onnx` file made by `python -m export`; None takes the bundled one.
            provider: `cuda`, `cpu`, or `auto` for CUDA where it really works, else CPU.
            threads: batches to make at a time, 1 to 1024; None takes one per CPU (four on CUDA).
            batch_size: samples per batch, 1 to 65,536; None takes what was measured to be fast.

        Raises:
            ModelFileError: the file is missing, damaged or not a model of ours.
            ProviderError: `provider="cuda"` and CUDA does not work here.
            TypeError: a number is no integer.
            UsageError: an argument is out of range.
        """
        if provider not in ("auto", "cuda", "cpu"):
            raise UsageError(f"unknown provider {provider!r}: use auto, cuda or cpu")
        workers, size = _as_integer(threads), _as_integer(batch_size)
        if workers is not None and not 1 <= workers <= MAX_THREADS:
            raise UsageError(f"cannot run on {workers} threads: use 1 to {MAX_THREADS}")
        if size is not None and not 1 <= size <= MAX_BATCH:
            raise UsageError(f"batch size {size} is out of range: use 1 to {MAX_BATCH}")
        self.model: ModelFile = read_model(None if model is None else Path(model))
        usual = self._usual_batch_size("cuda")
        self._opened = open_session(self.model, provider, min(size or usual, usual))
        self.session = self._opened.session
        self.provider: ProviderName = self._opened.provider
        self.provider_note = self._opened.note
        self.threads = workers or (_CUDA_THREADS if self.provider == "cuda" else count_cpus())
        self.batch_size = size or self._usual_batch_size(self.provider)

    def _usual_batch_size(self, provider: ProviderName) -> int:
        # Measured on two cores of an AMD EPYC with the digits generator of 0.41 M parameters, CPU time per
        # image where two threads run one session (median of 5): 28.1 us for batches of 32, 28.6 for 64, 30
        # for 128 and 256. A session with two threads inside takes 44 to 45 us: they wait for each other at
        # the end of each operator. tests/benchmarks/sampler_throughput.py measures again.
        usual = _CUDA_BATCH if provider == "cuda" else _CPU_BATCH
        return max(1, min(usual, _MAX_BATCH_ELEMENTS // self.model.cost.elements))

    def sample(
        self,
        n: SupportsIndex,
        labels: Labels | None = None,
        seed: SupportsIndex = 0,
        start: SupportsIndex = 0,
        truncation: float = 1.0,
    ) -> Samples:
        """Draw `n` digits at once.

        Args:
            n: how many, 0 or more.
            labels: the class of all, or of each; None draws classes at random from `(seed, index)`.
            seed: 0 to 2**64 - 1.
            start: index of the first sample, from 0.
            truncation: factor on the latents: 1 draws the full variety, towards 0 plainer digits.

        Returns:
            images uint8 `[n, 28, 28]` and labels int64 `[n]`.

        Raises:
            TypeError: a number is no integer.
            UsageError: an argument is out of range, or labels were given to an unconditional model.
            ProviderError: the provider failed.
            MemoryError: so many fit no array here.
        """
        batches = self.stream(n, labels, seed, start, truncation)  # refuses what is out of range
        n = operator.index(n)
        if n > sys.maxsize // contract.IMAGE_SIZE**2:
            raise MemoryError(f"{n} digits fit no array: draw them with `stream`")
        images = np.empty((n, contract.IMAGE_SIZE, contract.IMAGE_SIZE), dtype=np.uint8)
        drawn = np.empty(len(images), dtype=np.int64)
        at = 0
        for batch in batches:
            images[at : at + len(batch.images)] = batch.images
            drawn[at : at + len(batch.images)] = batch.labels
            at += len(batch.images)
        return Samples(images, drawn)

    def stream(
        self,
        n: SupportsIndex | None = None,
        labels: Labels | None = None,
        seed: SupportsIndex = 0,
        start: SupportsIndex = 0,
        truncation: float = 1.0,
    ) -> Generator[Samples]:
        """Draw digits batch by batch, in order and in constant memory.

        The next batches are made on threads while the caller works on this one, but for few digits,
        which are drawn as they are asked for. The arguments are those of `sample`; `n=None` never ends.

        Yields:
            Samples of `batch_size` digits, the last one of what is left.

        Raises:
            TypeError, UsageError: at once, as `sample` does.
            ProviderError: the provider failed; batches before that were good.
        """
        # Python's own integers: numpy's wrap around.
        n, seed, start = _as_integer(n), operator.index(seed), operator.index(start)
        truncation = float(truncation)
        check_range(seed, start, n or 0)
        if not 0.0 <= truncation <= MAX_TRUNCATION:
            raise UsageError(f"truncation {truncation} is out of range: use 0 to {MAX_TRUNCATION:g}")
        source = choose_labels(labels, n, seed, start, len(self.model.classes))
        return split(self.stream_from(source, n, seed, start, truncation), self.batch_size)

    def stream_from(
        self, source: LabelSource, n: int | None, seed: int, start: int, truncation: float
    ) -> Generator[Samples]:
        """Do what `stream` does, with classes from `source`; arguments are not checked again.

        Yields:
            Samples of many batches at a time: each takes the reader's thread away from drawing.
        """
        stop = MAX_INDEX if n is None else start + n
        together = self.batch_size * max(1, min(_BATCHES_TOGETHER, _DRAWN_TOGETHER // self.batch_size))

        def make(span: range) -> Samples:
            latents = draw_latents(seed, span.start, len(span), self.model.latent_dim)
            if truncation != 1.0:
                latents *= np.float32(truncation)
            labels = source(span.start, len(span))
            images = np.empty((len(span), contract.IMAGE_SIZE, contract.IMAGE_SIZE), dtype=np.uint8)
            for at in range(0, len(span), self.batch_size):
                cut = slice(at, at + self.batch_size)
                images[cut] = self._draw(latents[cut], labels[cut])
            return Samples(images, labels)

        threads = 1 if stop - start <= together else self.threads
        return _map_ahead(make, _cut(range(start, stop), together, self.batch_size, threads), threads)

    def decode(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> Samples:
        """Turn latents into pictures, as one batch.

        Args:
            latents: float32 `[n, latent_dim]`, finite; the sampler's own are standard normal.
            labels: int64 `[n]`, class indices from 0; not looked at by an unconditional model.

        Raises:
            UsageError: they have another shape or type, or a label is out of range.
            ProviderError: the provider failed.
        """
        classes = len(self.model.classes)
        if latents.shape != (len(labels), self.model.latent_dim) or latents.dtype != np.float32:
            raise UsageError(
                f"latents are {latents.dtype} {list(latents.shape)}: "
                f"use float32 [{len(labels)}, {self.model.latent_dim}], a row for each label"
            )
        if classes and (labels.dtype != np.int64 or ((labels < 0) | (labels >= classes)).any()):
            raise UsageError(f"labels are no int64 class indices: use 0 to {classes - 1}")
        return Samples(self._draw(latents, labels), labels)

    def _draw(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        rows = len(latents)
        full = self.batch_size if self.provider == "cuda" else 0
        padding = max(full - rows, -rows % _ROW_MULTIPLE)
        feeds = make_feeds(self.model, _pad(latents, padding), _pad(labels, padding))
        images: NDArray[np.uint8] = run_graph(self._opened, feeds, contract.OUTPUT_IMAGE)[:rows]
        return images


def _as_integer(number: SupportsIndex | None) -> int | None:
    return None if number is None else operator.index(number)


def _pad(rows: NDArray[Any], padding: int) -> NDArray[Any]:
    if padding == 0:
        return rows
    return np.concatenate([rows, np.zeros((padding, *rows.shape[1:]), dtype=rows.dtype)])


def split(samples: Iterable[Samples], batch_size: int) -> Generator[Samples]:
    """Yield the samples in batches of up to `batch_size`, views of what came together."""
    for many in samples:
        for at in range(0, len(many.labels), batch_size):
            yield Samples(many.images[at : at + batch_size], many.labels[at : at + batch_size])


def _cut(samples: range, together: int, batch_size: int, threads: int) -> Generator[range]:
    """Cut samples into tasks: `together` at a time, and fewer near the end, so that no thread ends late."""
    at = samples.start
    while at < samples.stop:
        fair = (samples.stop - at) // (_TASKS_AHEAD * threads) // batch_size * batch_size
        count = max(batch_size, min(together, fair))
        yield range(at, min(at + count, samples.stop))
        at += count


def _map_ahead(make: Callable[[range], Samples], spans: Iterator[range], threads: int) -> Generator[Samples]:
    """Yield what `make` returns for each span, some ahead on threads; closing it ends the threads."""
    if threads == 1:
        yield from map(make, spans)
        return
    # Here, since a few digits, the most common request, need no threads and not this import.
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads, thread_name_prefix="mnist-sample")
    try:
        ahead = deque(pool.submit(make, span) for span in itertools.islice(spans, threads * _TASKS_AHEAD))
        while ahead:
            made = ahead.popleft().result()
            for span in itertools.islice(spans, 1):
                ahead.append(pool.submit(make, span))
            yield made
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
