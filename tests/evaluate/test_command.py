"""`python -m train.evaluate`, from its command line to what it leaves behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mnist_sample.errors import MnistSampleError
from models import checkpoint
from tests.calling import call
from tests.environment import environment
from tests.evaluate.standin import draw_digits
from tests.models.checkpoints import make_checkpoint
from train.evaluate import command
from train.evaluate.cli import run_command
from train.evaluate.evaluation import Evaluation
from train.evaluate.mnist import RealDigits
from train.evaluate.values import record, summarise

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command: its exit code, and what it wrote to stdout and to stderr."""

    def call_and_read(*arguments: object) -> tuple[int, str, str]:
        code = call(monkeypatch, run_command, *arguments)
        return (code, *capsys.readouterr())

    return call_and_read


@pytest.fixture
def with_standin_digits(monkeypatch: pytest.MonkeyPatch, real: RealDigits) -> None:
    monkeypatch.setattr(command, "load_mnist", lambda _source: real)


def _write_checkpoint(path: Path, kind: str = "digits") -> Path:
    path.write_bytes(checkpoint.encode(make_checkpoint(kind)))
    return path


@pytest.mark.usefixtures("with_standin_digits")
def test_report_json_picture_and_record(run: Run, tmp_path: Path) -> None:
    gen_pt = _write_checkpoint(tmp_path / "gen.pt")
    before, sha256 = checkpoint.read(gen_pt)
    code, out, err = run(
        gen_pt, "--n", 100, "--seeds", 1, "--record",
        "--json", tmp_path / "figures.json", "--picture", tmp_path / "report.png",
    )  # fmt: skip
    assert (code, err) == (0, "")
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    after, _ = checkpoint.read(gen_pt)
    assert sha256 in out
    assert sha256 == figures["generator"]["sha256"]
    assert figures["classifier"]["sha256"] in out
    for name, figure in figures["figures"].items():
        assert name in out
        assert after.evaluation[name]["generated"] == pytest.approx(figure["generated"], abs=1e-5)
        assert after.evaluation[name]["real"] == pytest.approx(figure["real"], abs=1e-5)
    assert all((after.weights[name] == tensor).all() for name, tensor in before.weights.items())
    assert (after.training, after.class_names) == (before.training, before.class_names)
    with Image.open(tmp_path / "report.png") as picture:
        assert min(picture.size) > 400


@pytest.mark.usefixtures("with_standin_digits")
def test_an_unconditional_generator_is_evaluated_without_labels(run: Run, tmp_path: Path) -> None:
    gen_pt = _write_checkpoint(tmp_path / "gen.pt", "tutorial")
    code, out, _ = run(gen_pt, "--n", 100, "--seeds", 1, "--picture", tmp_path / "report.png")
    assert code == 0
    assert "largest class gap" in out
    assert "label accuracy" not in out
    code, out, err = run(gen_pt, "--n", 100, "--cas")
    assert (code, out) == (2, "")
    assert "without labels" in err


@pytest.mark.usefixtures("with_standin_digits")
def test_a_result_that_cannot_be_written_costs_no_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "write_atomically", fail)
    target = tmp_path / "figures.json"
    code, out, err = run(_write_checkpoint(tmp_path / "gen.pt"), "--n", 100, "--seeds", 1, "--json", target)
    assert code == 1
    assert "Frechet distance" in out
    assert f"cannot write {target}: No space left on device" in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.usefixtures("with_standin_digits")
def test_a_full_stdout_costs_none_of_the_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gen_pt, figures, picture = (tmp_path / name for name in ("gen.pt", "figures.json", "report.png"))
    arguments = ("--n", 100, "--seeds", 1, "--record", "--json", figures, "--picture", picture)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = run(_write_checkpoint(gen_pt), *arguments)
    assert code == 1
    assert err.startswith("cannot write to stdout: No space left on device; ")
    assert len(err.splitlines()) == 1
    assert json.loads(figures.read_text())["figures"].keys() <= checkpoint.read(gen_pt)[0].evaluation.keys()
    assert picture.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(command, "load_mnist", lambda _: signal.raise_signal(number))
    said = run(_write_checkpoint(tmp_path / "gen.pt"))
    assert said == (128 + number, "", "stopped before the evaluation ended\n")


@pytest.mark.parametrize("module", ["train.evaluate.cli", "train.evaluate.classifier_cli"])
def test_help_and_a_wrong_option_do_not_wait_for_pytorch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_what_is_recorded_belongs_to_the_file_that_was_measured(
    measure: Callable[..., Evaluation], tmp_path: Path
) -> None:
    gen_pt = _write_checkpoint(tmp_path / "gen.pt")
    evaluation = measure(draw_digits, digits=100)
    object.__setattr__(evaluation.generator, "path", gen_pt)
    content = gen_pt.read_bytes()
    with pytest.raises(MnistSampleError, match="has changed since it was measured"):
        record(evaluation)
    assert gen_pt.read_bytes() == content


def test_figures_are_recorded_in_the_file_behind_a_link(
    measure: Callable[..., Evaluation], tmp_path: Path
) -> None:
    gen_pt, link = _write_checkpoint(tmp_path / "gen.pt"), tmp_path / "latest.pt"
    link.symlink_to(gen_pt)
    evaluation = measure(draw_digits, digits=100)
    object.__setattr__(evaluation.generator, "path", link)
    object.__setattr__(evaluation.generator, "sha256", checkpoint.read(gen_pt)[1])
    record(evaluation)
    assert link.is_symlink()
    assert checkpoint.read(gen_pt)[0].evaluation == summarise(evaluation)


def test_the_recorded_figures_keep_to_the_format(fresh: Evaluation) -> None:
    summary = summarise(fresh)
    assert all(figures.keys() == {"generated", "real"} for figures in summary.values())
    assert summary["digits"] == {"generated": 400, "real": 400}


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (["gen.pt", "--n", "99"], 2, "--n 99 is out of range: 100 to 10,000"),
        (["gen.pt", "--n", "10001"], 2, "out of range"),
        (["gen.pt", "--seeds", "0"], 2, "--seeds 0 is out of range"),
        (["gen.pt", "--json", "none/figures.json"], 1, "the folder none does not exist"),
        (["gen.pt", "--picture", "."], 1, "cannot write .: it is a folder"),
        (["gen.pt", "--json", "a" * 300], 1, "File name too long"),
        (["gen.pt", "--data", "digits", "--json", "digits/t10k-labels-idx1-ubyte.gz"], 2, "is read here"),
        (["gen.pt", "--json", "gen.pt"], 2, "gen.pt is read here"),
        (["gen.pt", "--picture", "link.pt"], 2, "link.pt is read here"),
        (["gen.pt", "--json", "pipe"], 1, "pipe: it is a device or a pipe"),
        (["gen.pt", "--json", "a", "--picture", "./a"], 2, "--json and --picture name the same file"),
        (["gen.onnx", "--record"], 2, "--record: gen.onnx is no gen.pt"),
        (["gen.txt"], 2, "neither a .pt nor a .onnx"),
        (["missing.pt"], 1, "cannot read checkpoint missing.pt"),
        (
            ["gen.pt", "--data", "none"],
            1,
            "there is no folder none: name MNIST's with --data, or auto or mnist",
        ),
        (["gen.pt", "--data", "bundled"], 2, "name MNIST's folder with --data DIR"),
    ],
)
def test_what_a_user_gets_wrong_is_told_in_a_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, cause: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_checkpoint(tmp_path / "gen.pt")
    (tmp_path / "link.pt").symlink_to("gen.pt")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "t10k-labels-idx1-ubyte.gz").touch()
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert cause in err
    assert len(err.splitlines()) <= 2


def test_missing_test_digits_are_named(run: Run, tmp_path: Path, mnist_dir: str) -> None:
    for path in Path(mnist_dir).resolve().glob("train-*"):
        (tmp_path / path.name).symlink_to(path)
    code, out, err = run(_write_checkpoint(tmp_path / "gen.pt"), "--data", tmp_path)
    assert (code, out) == (1, "")
    assert "t10k-images-idx3-ubyte" in err
    assert len(err.splitlines()) == 1


def test_other_digits_than_mnists_are_refused(run: Run, tmp_path: Path, real: RealDigits) -> None:
    for split, images, labels in (
        ("train", real.train_images, real.train_labels),
        ("t10k", real.test_images, real.test_labels),
    ):
        header = b"".join(size.to_bytes(4, "big") for size in (0x803, *images.shape))
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
        header = b"".join(size.to_bytes(4, "big") for size in (0x801, len(labels)))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(header + bytes(labels.tolist()))
    code, _, err = run(_write_checkpoint(tmp_path / "gen.pt"), "--data", tmp_path)
    assert code == 1
    assert "does not hold MNIST" in err


def test_mnist_with_other_labels_is_refused(run: Run, tmp_path: Path, mnist_dir: str) -> None:
    """All that is said of labels would be wrong, and the images alone look right."""
    for path in Path(mnist_dir).resolve().glob("*-images-*"):
        (tmp_path / path.name).symlink_to(path)
    for split, count in (("train", 60_000), ("t10k", 10_000)):
        header = b"".join(size.to_bytes(4, "big") for size in (0x801, count))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(header + bytes(range(10)) * (count // 10))
    code, _, err = run(_write_checkpoint(tmp_path / "gen.pt"), "--data", tmp_path)
    assert code == 1
    assert f"{tmp_path} does not hold MNIST with its own labels" in err


def test_real_mnist_from_end_to_end(run: Run, tmp_path: Path, mnist_dir: str) -> None:
    arguments = (_write_checkpoint(tmp_path / "gen.pt"), "--data", mnist_dir, "--n", 100, "--seeds", 1)
    code, out, _ = run(*arguments, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert code == 0
    # Random weights draw noise.
    assert figures["Frechet distance"]["generated"] > 5 * figures["Frechet distance"]["real"]
    assert figures["label accuracy"]["real"] > 0.95 > 0.5 > figures["label accuracy"]["generated"]
    assert "100 generated digits" in out


def test_a_protected_checkpoint_is_told_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gen_pt = _write_checkpoint(tmp_path / "gen.pt")
    monkeypatch.setattr(command, "load_mnist", lambda _: pytest.fail("the work has begun"))
    # Root may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != gen_pt or mode != os.W_OK)
    said = run(gen_pt, "--record")
    assert said == (1, "", f"--record: no permission to write {gen_pt}; record in a copy of it\n")
