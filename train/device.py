"""Which device trains, and what it does well."""

from __future__ import annotations

import os

import torch

from mnist_sample.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """Return the device for `auto` (or None), `cuda` or `cpu`; under `torchrun`, this process's own GPU.

    Raises:
        UsageError: an unknown name, CUDA asked for where there is none, or more processes than GPUs.
    """
    if name not in (None, "auto", "cuda", "cpu"):
        raise UsageError(f"unknown device {name!r}: choose auto, cuda or cpu")
    if name == "cpu" or (name != "cuda" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no usable CUDA device here; use --device cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"{torch.cuda.device_count()} GPUs here: start no more processes than that, or use --device cpu"
        )
    return torch.device("cuda", index)


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether the device has instructions for bfloat16; without them it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
