"""Does the command name the cause where CUDA is hidden from it, and does `auto` go on with the CPU?"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from mnist_sample.cuda import find_device_problem
from mnist_sample.engine import onnxruntime
from tests.environment import environment
from tests.gpu.children import is_plain_failure, run_command
from tests.gpu.context import Context
from tests.gpu.report import Report

PRETEND: Final = [sys.executable, "-m", "tests.gpu.pretend"]
NEEDED: Final = (b"libcublasLt.so", b"libcublasXX.so")
"""A library that onnxruntime's for CUDA asks for, and a name of the same length that no library has."""
CUDNN: Final = ("libcudnn.so", "libcudnn.so.9")
"""What onnxruntime looks for at its first convolution."""


def provoke_errors(context: Context, report: Report) -> None:
    """Hide the GPU, the libraries and the CUDA build in turn."""
    no_gpu = find_device_problem()
    real = "gpu" if no_gpu else ""
    note = " (as if there were a GPU)" if no_gpu else ""
    expected = no_gpu.cause if no_gpu else "hides every GPU"
    provoke(context, report, "GPU hidden", "", environment(CUDA_VISIBLE_DEVICES="-1"), expected)
    provoke(
        context, report, f"build for CPU only{note}", f"{real},cpu-build", environment(), "build for CPU only"
    )
    with tempfile.TemporaryDirectory(dir=context.out) as folder:
        hidden = hide_libraries(Path(folder))
        provoke(context, report, f"libraries hidden{note}", real, hidden, "is missing")
    if no_gpu:
        report.skip("cuDNN hidden", "it is asked for at the first picture, which takes a GPU")
        return
    with tempfile.TemporaryDirectory(dir=context.out) as folder:
        provoke(context, report, "cuDNN hidden", "", hide_cudnn(Path(folder)), "the library libcudnn")


def hide_libraries(folder: Path) -> dict[str, str]:
    """Return an environment with an onnxruntime that asks for a library that is nowhere.

    NVIDIA's own may be anywhere the system looks for libraries, where no environment hides them.
    """
    provider = copy_onnxruntime(folder) / "capi" / "libonnxruntime_providers_cuda.so"
    if provider.exists():
        content = provider.read_bytes()
        provider.unlink()  # it may be a link to the one that is installed
        provider.write_bytes(content.replace(*NEEDED))
    return environment(folder)


def hide_cudnn(folder: Path) -> dict[str, str]:
    """Return an environment in which empty files stand before cuDNN, and all other libraries are found."""
    copy_onnxruntime(folder)
    for name in CUDNN:
        (folder / name).touch()
    packages = Path(onnxruntime.__file__).parents[1] / "nvidia"
    others = [str(path) for path in packages.glob("*/lib") if path.parent.name != "cudnn"]
    usual = os.environ.get("LD_LIBRARY_PATH", "")
    return environment(folder, LD_LIBRARY_PATH=os.pathsep.join([str(folder), *others, usual]))


def copy_onnxruntime(folder: Path) -> Path:
    """Copy onnxruntime to where no NVIDIA packages lie beside it, and return its folder there."""
    package = Path(onnxruntime.__file__).parent
    shutil.copytree(package, folder / package.name, copy_function=link_or_copy)
    return folder / package.name


def link_or_copy(source: str, target: str) -> None:
    """Link a file, since the CUDA provider alone has hundreds of megabytes; copy it to another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def provoke(
    context: Context, report: Report, what: str, pretence: str, variables: dict[str, str], expected: str
) -> None:
    """Run the command with `--provider cuda`, which must fail and say why, and `auto`, which must not."""
    target = context.out / "hidden.png"
    command = [*PRETEND, pretence, *(["--model", str(context.model)] if context.model else [])]
    command += ["--n", "5", "--out", str(target)]
    done = run_command([*command, "--provider", "cuda"], variables)
    said = done.stderr.strip()
    if done.returncode == 0:
        report.skip(what, f"it could not be hidden: {said}")
        return
    holds = is_plain_failure(done) and expected in said and not target.exists()
    report.check(f"{what}, --provider cuda", holds, said, exit_code=done.returncode)
    done = run_command([*command, "--provider", "auto"], variables)
    said = done.stderr.strip()
    holds = done.returncode == 0 and "drawn on CPU" in said and expected in said
    report.check(f"{what}, --provider auto", holds, said, exit_code=done.returncode)
    target.unlink(missing_ok=True)
