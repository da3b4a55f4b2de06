"""Finds out why CUDA does not work on a machine, and what would mend it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from mnist_sample.text import make_printable

INSTALL: Final = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
_NVIDIA_PCI_VENDOR: Final = "0x10de"
_ERROR_NO_DEVICE: Final = 100
"""CUDA_ERROR_NO_DEVICE in cuda.h."""
_BROKEN_LIBRARY: Final = re.compile(r"(?:dlopen|LoadLibrary) failed for ([^\s:]+)")
_COLOUR: Final = re.compile("\x1b\\[[0-9;]*m")
_MISSING_LIBRARY: Final = re.compile(
    r'([^\s"]+\.so[.\d]*): cannot open shared object|([^\s"]+\.dll)"? which is missing'
)


class Problem(NamedTuple):
    """Why CUDA does not work.

    Attributes:
        cause: what is wrong.
        remedy: what mends it, a command where there is one.
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.remedy}"


def find_device_problem() -> Problem | None:
    """Return why no NVIDIA GPU can be used here, whatever is installed in Python; None if one can.

    Takes a millisecond where there is no driver: cheap enough to ask before each automatic choice.
    """
    if sys.platform == "darwin":
        return Problem("macOS has no CUDA", "use --provider cpu")
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        if _has_nvidia_card():
            return Problem(
                "there is an NVIDIA GPU, but no driver for it", "install NVIDIA's driver, then try nvidia-smi"
            )
        return Problem("no NVIDIA GPU was found", "run on a machine that has one, or use --provider cpu")
    status = driver.cuInit(0)
    count = ctypes.c_int(0)
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == _ERROR_NO_DEVICE or (status == 0 and count.value == 0):
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None:
            return Problem(f"CUDA_VISIBLE_DEVICES={hidden} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
        return Problem("the NVIDIA driver finds no GPU", "check it with nvidia-smi")
    if status != 0:
        return Problem(f"the NVIDIA driver does not start (CUDA error {status})", "check it with nvidia-smi")
    return None


def _has_nvidia_card() -> bool:
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    with contextlib.suppress(OSError):
        return any(vendor.read_text().strip() == _NVIDIA_PCI_VENDOR for vendor in vendors)
    return False


def find_package_problem(available: list[str]) -> Problem | None:
    """Return what is wrong with the installed onnxruntime as regards CUDA; None if it is a CUDA build.

    Args:
        available: `onnxruntime.get_available_providers()`, the providers it was built with.
    """
    folder = _find_folder("onnxruntime")
    if folder is not None and folder == _find_folder("onnxruntime-gpu"):
        return Problem(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
            f"pip uninstall -y onnxruntime onnxruntime-gpu && {INSTALL}",
        )
    if "CUDAExecutionProvider" in available:
        return None
    if (sys.platform, platform.machine()) not in (("linux", "x86_64"), ("win32", "AMD64")):
        return Problem(
            f"onnxruntime has no CUDA build for {sys.platform} on {platform.machine()}", "use --provider cpu"
        )
    return Problem(
        "the installed onnxruntime is a build for CPU only", f"pip uninstall -y onnxruntime && {INSTALL}"
    )


def _find_folder(distribution: str) -> Path | None:
    """Return where a wheel keeps its package `onnxruntime`; None if it is not installed."""
    from importlib import metadata  # here: a tenth of the command's start, and seldom needed

    try:
        return Path(str(metadata.distribution(distribution).locate_file("onnxruntime")))
    except metadata.PackageNotFoundError:
        return None


def explain_load_failure(noise: str) -> Problem:
    """Turn what onnxruntime wrote while failing to load or use CUDA into a cause and a remedy."""
    noise = _COLOUR.sub("", noise)
    missing = _MISSING_LIBRARY.search(noise)
    if missing:
        return Problem(f"the library {missing[1] or missing[2]} is missing", INSTALL)
    broken = _BROKEN_LIBRARY.search(noise)
    if broken:
        return Problem(f"the library {broken[1]} does not load", INSTALL)
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    detail = f" ({make_printable(lines[-1][:160])})" if lines else ""
    return Problem(f"onnxruntime could not use its CUDA provider{detail}", INSTALL)


def _open_scratch() -> IO[bytes]:
    """Open a file that nobody else sees; in memory where that can be, since some systems are read-only."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            return os.fdopen(os.memfd_create("output"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def capture_output() -> Iterator[list[str]]:
    """Catch all that Python and C code write to stdout and stderr; the list gets the text at the end.

    onnxruntime's libraries write to the file descriptor, past `sys.stderr`; so other threads' output is
    caught as well.
    """
    caught: list[str] = []
    with _open_scratch() as file, contextlib.ExitStack() as stack:
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            with contextlib.suppress(Exception):  # a closed or replaced stream has nothing to flush
                stream.flush()
            try:
                saved = os.dup(descriptor)
            except OSError:  # the process was started without it
                continue
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, descriptor)
            os.dup2(file.fileno(), descriptor)
        try:
            yield caught
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            file.seek(0)
            caught.append(file.read().decode(errors="replace"))
