"""`cuda` means CUDA, `auto` tells what it took, and a failure in mid-run ends the run."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from mnist_sample import contract, cuda, session
from mnist_sample.cli import run_arguments
from mnist_sample.cuda import Problem, explain_load_failure, find_device_problem, find_package_problem
from mnist_sample.engine import onnxruntime
from mnist_sample.errors import ProviderError, UsageError
from mnist_sample.sampler import Sampler
from tests.runtime.edits import set_metadata
from tests.runtime.standin import Standin

NO_GPU = Problem("no NVIDIA GPU was found", "run on a machine that has one, or use --provider cpu")
BOTH = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "find_device_problem", lambda: NO_GPU)


class PretendSession:
    """An onnxruntime session that loads and runs, or not, as CUDA does on some machines."""

    providers = BOTH
    noise = ""
    fallback = True
    failure = "CUDA failure 700: an illegal memory access was encountered\nat line 12"
    draws = 0
    """How many batches it draws before CUDA fails."""

    def __init__(self, *_: object, providers: list[Any]) -> None:
        os.write(2, self.noise.encode())
        if providers == BOTH[1:]:
            self.draws = 1_000_000

    def get_providers(self) -> list[str]:
        return self.providers

    def disable_fallback(self) -> None:
        self.fallback = False

    def run(self, _: object, feeds: dict[str, Any], options: Any = None) -> Any:
        if self.draws:
            self.draws -= 1
            return [np.zeros((len(feeds["latent"]), 28, 28), np.uint8)]
        if options is None or options.log_severity_level < 4:
            os.write(2, b"\x1b[1;31m2026-01-01 [E:onnxruntime:] " + self.failure.encode() + b"\n\x1b[m")
        raise RuntimeError(f"[ONNXRuntimeError] : {self.failure}"[:100])


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> type[PretendSession]:
    """A machine with a GPU, where onnxruntime does what the returned class does."""

    class Pretend(PretendSession):
        pass

    monkeypatch.setattr(session, "find_device_problem", lambda: None)
    monkeypatch.setattr(session, "find_package_problem", lambda _: None)
    monkeypatch.setattr("mnist_sample.session.onnxruntime.preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr("mnist_sample.session.onnxruntime.InferenceSession", Pretend)
    return Pretend


@pytest.mark.usefixtures("no_gpu")
def test_cuda_without_a_gpu_ends_in_one_line(
    conditional: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(conditional), "--provider", "cuda", "--out", f"{tmp_path}/a.png"]
    assert run_arguments(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"mnist-sample: CUDA does not work here: {NO_GPU}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_gpu")
def test_auto_says_what_it_took_and_why(
    conditional: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_arguments(["--model", str(conditional), "--out", f"{tmp_path}/a.png"]) == 0
    assert capfd.readouterr().err.endswith("drawn on CPU (no NVIDIA GPU was found)\n")
    sampler = Sampler(conditional)
    assert (sampler.provider, sampler.provider_note) == ("cpu", NO_GPU.cause)


def test_without_a_gpu_this_machine_draws_on_the_cpu(conditional: Path) -> None:
    """No pretence: the suite hides GPUs, and what onnxruntime then opens is what the sampler says."""
    sampler = Sampler(conditional)
    assert sampler.provider == "cpu"
    assert sampler.session.get_providers() == ["CPUExecutionProvider"]
    assert sampler.provider_note
    with pytest.raises(ProviderError, match="CUDA does not work here"):
        Sampler(conditional, "cuda")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
def test_cuda_works_where_no_file_can_be_written(
    conditional: Path, pretend: type[PretendSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    pretend.draws = 1
    assert Sampler(conditional, "auto").provider == "cuda"


def test_a_session_that_fell_back_is_not_believed(
    conditional: Path, pretend: type[PretendSession], capfd: pytest.CaptureFixture[str]
) -> None:
    pretend.providers = ["CPUExecutionProvider"]
    pretend.noise = (
        "2026-01-01 [E:onnxruntime] Failed to load library libonnxruntime_providers_cuda.so with error: "
        "libcudnn.so.9: cannot open shared object file: No such file or directory\n"
    )
    with pytest.raises(ProviderError, match=r"the library libcudnn\.so\.9 is missing: pip install"):
        Sampler(conditional, "cuda")
    assert capfd.readouterr() == ("", "")


def test_a_cuda_failure_in_mid_run_ends_the_run(
    conditional: Path, tmp_path: Path, pretend: type[PretendSession], capfd: pytest.CaptureFixture[str]
) -> None:
    pretend.draws = 1
    arguments = ["--model", str(conditional), "--provider", "auto", "--out", f"{tmp_path}/a.png"]
    assert run_arguments(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("mnist-sample: CUDA failed while drawing: [ONNXRuntimeError] : CUDA failure 700")
    assert "--provider cpu" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (
            "libcudnn.so: libcudnn.so: cannot open shared object file: No such file or directory",
            "the library libcudnn.so is missing",
        ),
        (
            "libcudnn.so: /lib/x86_64-linux-gnu/libcudnn.so: file too short",
            "the library libcudnn.so does not load",
        ),
    ],
)
def test_a_session_that_opens_and_cannot_draw_does_not_work(
    reason: str,
    cause: str,
    conditional: Path,
    tmp_path: Path,
    pretend: type[PretendSession],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As onnxruntime 1.31 does on an H100 where cuDNN alone is missing."""
    pretend.failure = (
        "Non-zero status code returned while running Conv node. Name:'conv_6' Status Message: "
        f"cuDNN is unavailable or disabled for CUDA Execution Provider: dlopen failed for {reason}"
    )
    arguments = ["--model", str(conditional), "--out", f"{tmp_path}/a.png"]
    assert run_arguments([*arguments, "--provider", "cuda"]) == 1
    assert capfd.readouterr().err == f"mnist-sample: CUDA does not work here: {cause}: {cuda.INSTALL}\n"
    assert run_arguments([*arguments, "--provider", "auto"]) == 0
    assert capfd.readouterr().err.endswith(f"drawn on CPU ({cause})\n")


def test_onnxruntime_may_not_go_on_on_cpu_by_itself(conditional: Path, pretend: type[PretendSession]) -> None:
    pretend.draws = 1
    sampler = Sampler(conditional, "cuda")
    assert sampler.provider == "cuda"
    assert isinstance(sampler.session, pretend)
    assert sampler.session.fallback is False


@pytest.mark.parametrize(
    ("noise", "cause"),
    [
        (
            'Error loading "C:\\ort\\onnxruntime_providers_cuda.dll" which depends on "cublas64_13.dll" '
            "which is missing.",
            "cublas64_13.dll is missing",
        ),
        ("libcublasLt.so.13: cannot open shared object file", "libcublasLt.so.13 is missing"),
        (
            "cuDNN is unavailable or disabled: LoadLibrary failed for cudnn64_9.dll with error 2",
            "the library cudnn64_9.dll does not load",
        ),
        ("first\nCUDA driver version is insufficient\n", "provider (CUDA driver version is insufficient)"),
        ("", "could not use its CUDA provider"),
    ],
)
def test_the_cause_is_read_from_the_noise(noise: str, cause: str) -> None:
    problem = explain_load_failure(noise)
    assert cause in problem.cause
    assert "pip install" in problem.remedy


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(cuda, "_find_folder", lambda name: Path("site") if name in names else None)
    monkeypatch.setattr("mnist_sample.cuda.sys.platform", "linux")
    monkeypatch.setattr("mnist_sample.cuda.platform.machine", lambda: "x86_64")


def test_both_wheels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    problem = find_package_problem(BOTH)
    assert problem is not None
    assert "overwrite each other" in problem.cause
    assert problem.remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install")


def test_wheels_in_two_folders_leave_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    monkeypatch.setattr(cuda, "_find_folder", Path)
    assert find_package_problem(BOTH) is None


def test_a_wheel_for_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime")
    problem = find_package_problem(BOTH[1:])
    assert problem is not None
    assert "CPU only" in problem.cause
    assert problem.remedy.startswith("pip uninstall -y onnxruntime && pip install")


def test_a_platform_without_cuda_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime")
    monkeypatch.setattr("mnist_sample.cuda.platform.machine", lambda: "aarch64")
    assert find_package_problem(BOTH[1:]) == Problem(
        "onnxruntime has no CUDA build for linux on aarch64", "use --provider cpu"
    )


def test_the_right_wheel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime-gpu")
    assert find_package_problem(BOTH) is None


class PretendDriver:
    """libcuda with a given result of `cuInit` and a number of GPUs."""

    def __init__(self, status: int, count: int) -> None:
        self.status, self.count = status, count

    def cuInit(self, _: int) -> int:  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.count
        return 0


@pytest.mark.parametrize(
    ("status", "count", "hidden", "cause"),
    [
        (100, 0, None, "the NVIDIA driver finds no GPU"),
        (0, 0, "", "CUDA_VISIBLE_DEVICES= hides every GPU"),
        (803, 0, None, "CUDA error 803"),
        (0, 1, None, None),
    ],
)
def test_what_the_driver_says(
    monkeypatch: pytest.MonkeyPatch, status: int, count: int, hidden: str | None, cause: str | None
) -> None:
    monkeypatch.setattr("mnist_sample.cuda.ctypes.CDLL", lambda _: PretendDriver(status, count))
    monkeypatch.setattr("mnist_sample.cuda.sys.platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    problem = find_device_problem()
    assert problem is None if cause is None else problem is not None and cause in problem.cause


@pytest.mark.parametrize(("card", "cause"), [(True, "no driver for it"), (False, "no NVIDIA GPU was found")])
def test_without_a_driver(monkeypatch: pytest.MonkeyPatch, card: bool, cause: str) -> None:
    def missing(_: str) -> None:
        raise OSError

    monkeypatch.setattr("mnist_sample.cuda.ctypes.CDLL", missing)
    monkeypatch.setattr("mnist_sample.cuda.sys.platform", "linux")
    monkeypatch.setattr(cuda, "_has_nvidia_card", lambda: card)
    problem = find_device_problem()
    assert problem is not None
    assert cause in problem.cause


@pytest.mark.usefixtures("no_gpu")
def test_info_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.dumps({"data": "\x1b[2Jdone", "\x1b[31mkey": "x" * 10_000})
    tables = (
        contract.KEY_TRAINING,
        contract.KEY_VERSIONS,
        contract.KEY_VERIFICATION,
        contract.KEY_EVALUATION,
    )
    texts = (contract.KEY_ARCHITECTURE, contract.KEY_CHECKPOINT_SHA256)

    def edit(model: ModelProto) -> None:
        for key, value in [*((key, facts) for key in tables), *((key, "\x1b[2J") for key in texts)]:
            set_metadata(key, value)(model)

    path = Standin().save(tmp_path / "model.onnx", edit)
    assert run_arguments(["--info", "--model", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() and len(line) < 2100 for line in lines)


def test_info_tells_facts_quality_and_providers(
    conditional: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_arguments(["--model", str(conditional), "--info"]) == 0
    text = capsys.readouterr().out
    assert "architecture: standin, latent of 8" in text
    assert "FID: 3.5 (real: 0.5)" in text
    assert "steps: 0" in text
    assert f"onnxruntime {onnxruntime.__version__}" in text
    assert "\ncpu: works\n" in text
    assert f"\ncuda: no; CUDA does not work here: {NO_GPU}\n" in text


def test_an_unknown_provider(conditional: Path) -> None:
    with pytest.raises(UsageError, match="unknown provider"):
        Sampler(conditional, "tensorrt")  # type: ignore[arg-type]
