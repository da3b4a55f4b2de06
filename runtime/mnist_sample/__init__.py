"""Handwritten digits from one ONNX file, without PyTorch.

>>> from mnist_sample import Sampler
>>> images, labels = Sampler().sample(5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_sample.sampler import Sampler, Samples

__version__ = "0.1.0"
__all__ = ["Sampler", "Samples", "__version__"]


if not TYPE_CHECKING:  # where any name would pass for one of ours

    def __getattr__(name: str) -> object:
        # Loaded on first use: `mnist-sample --help` needs neither numpy nor onnxruntime.
        if name in ("Sampler", "Samples"):
            from mnist_sample import sampler

            return getattr(sampler, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
