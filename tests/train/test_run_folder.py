"""What a run leaves in its folder, and that one seed decides it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train.data
import train.quality
import train.run_folder
from models import checkpoint
from tests.train.idx_files import IMAGES, write_folder
from tests.train.running import assert_same_weights, begin, go_on, read_metrics, weights_of
from train.data import read_folder
from train.progress import Display


def test_a_finished_run_has_all_its_files(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json",
        "forming.gif",
        "gen.pt",
        "losses.png",
        "metrics.jsonl",
        "reals.png",
        "report.html",
        "result.png",
        "resume.pt",
        "samples",
    }
    sheets = sorted(path.name for path in (finished / "samples").iterdir())
    assert sheets == [f"{step:06d}.png" for step in range(1, 7)]


def test_the_metrics_hold_every_loss_the_speed_and_the_rate(finished: Path) -> None:
    lines = read_metrics(finished)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert {
            "d_loss",
            "g_loss",
            "penalty",
            "loss_real_real",
            "loss_fake_fake",
            "loss_fake_real",
        } <= line.keys()
        # Both are rounded: the rate counts on a fast machine, the seconds on a slow one.
        images, rounding = 6 * line["step"], 0.05 * line["seconds"] / line["images_per_second"]
        assert images / line["images_per_second"] == pytest.approx(line["seconds"], abs=0.001 + rounding)
    rates = [line["lr"] for line in lines]
    assert rates == sorted(rates, reverse=True)


def test_the_settings_and_the_checkpoint_tell_how_it_was_made(data: Path, finished: Path) -> None:
    facts = json.loads((finished / "config.json").read_text())
    made, _ = checkpoint.read(finished / "gen.pt")
    for told in (facts, made.training):
        assert told["data"] == "boxes"
        assert told["data_sha256"] == read_folder(data).sha256
        assert told["seen_mnist"] is False
        assert told["device"] == "cpu"
        assert told["threads"] == told["processes"] == 1
        assert told["versions"]["torch"] == torch.__version__
        assert {"python", "numpy", "mnist_sample"} <= told["versions"].keys()
        assert told["settings"]["seed"] == told["seed"] == 0
        assert told["settings"]["batch_size"] == 6
    assert made.training["steps"] == 6
    assert made.class_names == ("0", "1", "2")


def test_the_pictures_show_digits_and_curves(finished: Path) -> None:
    sizes = {name: Image.open(finished / name).size for name in ("reals.png", "result.png", "losses.png")}
    assert sizes["reals.png"] == (302, 302)
    assert sizes["result.png"] == (608, 128)
    assert sizes["losses.png"] == (1200, 400)
    with Image.open(finished / "forming.gif") as forming:
        assert getattr(forming, "n_frames", 1) > 1
        assert forming.size == (302, 302)
    reals = np.asarray(Image.open(finished / "reals.png"))
    assert (reals.max(), reals.min()) == (220, 0)


def test_the_digits_form_in_order_beyond_a_million_steps(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    for step, name in ((5, "999950"), (6, "1000000")):
        (folder / "samples" / f"{step:06d}.png").rename(folder / "samples" / f"{name}.png")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    torch.save({**saved, "step": 1_000_000}, folder / "resume.pt")
    joined: list[Path] = []
    monkeypatch.setattr(train.run_folder, "write_gif", lambda sheets, path: joined.extend(sheets))
    monkeypatch.setattr(train.run_folder, "write_report", lambda *_: None)
    go_on(folder)
    assert [sheet.stem for sheet in joined[-2:]] == ["999950", "1000000"]


@pytest.mark.parametrize("damaged", [1, None], ids=["one", "all"])
def test_a_damaged_sheet_is_left_out_of_the_gif(finished: Path, tmp_path: Path, damaged: int | None) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    before = len(list((folder / "samples").iterdir()))
    for sheet in sorted((folder / "samples").iterdir())[:damaged]:
        sheet.write_bytes(sheet.read_bytes()[:200])
    go_on(folder)
    with Image.open(folder / "forming.gif") as forming:
        assert getattr(forming, "n_frames", 1) == (before - damaged if damaged else 1)
    assert (folder / "report.html").exists()


def test_the_report_opens_offline(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:image/(?:png|gif);base64,)", page)
    assert not re.findall(r"https?://|url\(|<script|@import", page)
    assert page.count("<img") == 4
    assert "$" not in page
    for told in ("boxes", "images_per_second", "settings.batch_size", "for 6 steps", "has not seen MNIST"):
        assert told in page


def test_a_name_in_the_report_is_text_and_no_markup(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "<script>alert(1)</script>".replace("/", "_"))
    begin(data, tmp_path / "run", steps=1)
    assert "<script" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are text")
def test_folders_whose_names_are_no_text_are_folders_too(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data\udcff")
    begin(data, tmp_path / "run\udcff", steps=1)
    assert "Training run run?" in (tmp_path / "run\udcff" / "report.html").read_text()


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    begin(data, tmp_path / "again")
    assert_same_weights(tmp_path / "again", finished)
    begin(data, tmp_path / "other", seed=1)
    same, other = weights_of(finished), weights_of(tmp_path / "other")
    assert not torch.equal(same["project.weight"], other["project.weight"])


@pytest.mark.parametrize("classes", [(7,), tuple(range(1, 27)), None])
def test_any_classes_train_and_are_named(classes: tuple[int, ...] | None, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", classes, count=52)
    begin(data, tmp_path / "run", steps=1)
    made, _ = checkpoint.read(tmp_path / "run" / "gen.pt")
    assert made.class_names == tuple(str(value) for value in classes or ())
    latent = torch.zeros(2, made.config.latent_dim)
    labels = [torch.tensor([0, len(classes) - 1])] if classes else []
    assert made.build_generator()(latent, *labels).shape == (2, 1, 28, 28)


def test_the_tutorials_pair_takes_no_labels(data: Path, tmp_path: Path) -> None:
    begin(data, tmp_path / "run", arch="tutorial", steps=1)
    assert checkpoint.read(tmp_path / "run" / "gen.pt")[0].class_names == ()


def test_a_run_on_digits_shows_how_good_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", tuple(range(10)))
    digest = hashlib.sha256((data / IMAGES).read_bytes()).hexdigest()
    monkeypatch.setitem(train.data.MNIST_IMAGES_SHA256, "train", digest)
    monkeypatch.setattr(train.quality, "DIGITS", 20)
    begin(data, tmp_path / "run", steps=4)
    figures = [line["frechet"] for line in read_metrics(tmp_path / "run") if "frechet" in line]
    assert len(figures) >= 3
    assert all(figure > 1 for figure in figures)
    assert f"Frechet {figures[-1]:.2f} (real 0.0" in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"<th>step 4</th><td>{figures[-1]:.3g} (real test digits: 0.0" in page


def test_progress_tells_losses_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"step": 10, "d_loss": 0.5, "g_loss": 0.75, "images_per_second": 640.0, "seconds": 2.0}
    with Display(visible=True) as display:
        display.show(line, 0.25)
    said = capsys.readouterr().err
    assert "25%  step 10  D 0.500  G 0.750  640 images/s  6 s left" in said
    assert "\x1b" not in said


def test_a_run_whose_reader_leaves_goes_on_in_silence(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `2>&1 | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stderr:  # noqa: PTH123 - it has no path
        monkeypatch.setattr(sys, "stderr", stderr)
        begin(data, tmp_path / "run")
        print("an error", file=stderr, flush=True)
    assert_same_weights(tmp_path / "run", finished)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in finished.iterdir()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_run_whose_log_fills_the_disk_goes_on_in_silence(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        begin(data, tmp_path / "run")
    assert_same_weights(tmp_path / "run", finished)


def test_a_narrow_terminal_has_room_for_what_matters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("COLUMNS", "80"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    figures = {"frechet": 0.05, "frechet_real": 0.04}
    line = {"step": 42_000, "d_loss": 0.5, "g_loss": 0.75, "images_per_second": 640.0, "seconds": 2.0}
    with Display(visible=True) as display:
        display.show(line | figures, 0.25)
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err).splitlines()[-1]
    assert re.search(r"step 42000  Frechet 0.05 \(real 0.04\) .* 25 % 0:00:0\d left ", said)
    assert len(said) <= 80


def test_a_process_that_does_not_write_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(visible=False) as display:
        display.warn("unheard")
    assert capsys.readouterr() == ("", "")
