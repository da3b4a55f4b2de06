"""Every output holds the samples and what names them, and is read by the libraries that people use."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_sample import __version__
from mnist_sample.cli import run_arguments
from mnist_sample.idx import TEST_OFFSET
from mnist_sample.sampler import Sampler
from mnist_sample.sheet import choose_columns
from tests.environment import environment
from tests.runtime.standin import Standin


@pytest.fixture
def draw(conditional: Path) -> Any:
    """Run the command quietly on the CPU; it must succeed."""

    def run(*arguments: object, model: Path = conditional) -> None:
        common = ["--model", str(model), "--provider", "cpu", "--quiet"]
        assert run_arguments([*common, *map(str, arguments)]) == 0

    return run


def open_text(path: Path) -> dict[str, str]:
    """Return the text chunks of a PNG."""
    with Image.open(path) as image:
        return dict(image.text)  # type: ignore[attr-defined]


def test_a_sheet_shows_the_digits_side_by_side(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--digits", "2026", "--seed", 4, "--out", tmp_path / "a.png")
    images, _ = sampler.sample(4, labels=[2, 0, 2, 6], seed=4)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.mode == "L"
        np.testing.assert_array_equal(np.asarray(sheet), np.concatenate(list(images), axis=1))


def test_columns_and_scale(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--n", 5, "--columns", 2, "--scale", 3, "--out", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (3 * 28 * 3, 2 * 28 * 3)
    images, _ = sampler.sample(5)
    np.testing.assert_array_equal(sheet[84:168:3, 84:168:3], images[3])
    assert (sheet[0::3] == sheet[2::3]).all()
    assert not sheet[168:, 84:].any()


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (16, 16), (17, 5), (100, 10), (101, 11)])
def test_many_digits_make_a_square(n: int, columns: int) -> None:
    assert choose_columns(n, None) == columns


def test_a_sheet_tells_how_to_draw_it_again(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--n", 3, "--seed", 2**64 - 1, "--start", 2**40, "--truncation", 0.5, "--out", tmp_path / "a.png")
    _, labels = sampler.sample(3, seed=2**64 - 1, start=2**40)
    assert open_text(tmp_path / "a.png") == {
        "Software": f"mnist-sample {__version__}",
        "seed": str(2**64 - 1),
        "index": str(2**40),
        "n": "3",
        "digit": "".join(map(str, labels.tolist())),
        "truncation": "0.5",
        "provider": "cpu",
        "model_sha256": sampler.model.sha256,
    }


def test_a_sheet_of_digits_that_were_asked_for_can_be_drawn_again(draw: Any, tmp_path: Path) -> None:
    draw("--digits", "2026", "--start", 1, "--n", 6, "--out", tmp_path / "a.png")
    text = open_text(tmp_path / "a.png")
    assert text["digit"] == "026202"
    draw("--digits", text["digits"], "--start", text["index"], "--n", text["n"], "--out", tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_a_file_of_a_folder_can_be_drawn_again_from_its_text(
    draw: Any, sampler: Sampler, tmp_path: Path
) -> None:
    draw("--n", 20, "--seed", 5, "--start", 990, "--out", f"{tmp_path}/folder/")
    files = sorted((tmp_path / "folder").iterdir())
    assert len(files) == 20
    for offset, file in enumerate(files):
        text = open_text(file)
        assert file.name == f"seed5_index{990 + offset:08d}_digit{text['digit']}.png"
        assert (text["provider"], text["model_sha256"]) == ("cpu", sampler.model.sha256)
        again = sampler.sample(1, int(text["digit"]), int(text["seed"]), int(text["index"]))
        with Image.open(file) as image:
            np.testing.assert_array_equal(np.asarray(image), again.images[0])


def test_a_class_s_name_does_not_leave_the_folder(draw: Any, tmp_path: Path) -> None:
    model = Standin(classes=("../up", "a/b")).save(tmp_path / "model.onnx")
    draw("--digits", "../up,a/b", "--out", f"{tmp_path}/new/", model=model)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"seed0_index00000000_digit.._up.png", "seed0_index00000001_digita_b.png"}


def test_a_new_folder_is_as_open_as_others(draw: Any, tmp_path: Path) -> None:
    draw("--out", f"{tmp_path}/new/")
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_walk_is_truncated_too(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--digits", "3", "--truncation", 0.3, "--scale", 1, "--out", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        first = np.asarray(gif.convert("L"))
    np.testing.assert_array_equal(first, sampler.sample(1, labels=3, truncation=0.3).images[0])


def test_a_sheet_may_be_too_large_by_its_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scale, said in ((200, "too large for one picture: use a folder"), (400, "use a smaller --scale")):
        assert run_arguments(["--n", "5", "--scale", str(scale), "--out", str(tmp_path / "a.png")]) == 2
        assert said in capsys.readouterr().err


def test_an_archive_does_not_tell_when_it_was_made(draw: Any, tmp_path: Path) -> None:
    draw("--out", tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_bytes_and_the_show_do_not_mix(
    draw: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    draw("--out", tmp_path / "a.npy")
    draw("--out", "-", "--format", "npy", "--show")
    told = capfdbinary.readouterr()
    assert told.out == (tmp_path / "a.npy").read_bytes()
    assert told.err


def test_a_folder_keeps_what_others_put_there(draw: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    draw("--n", 2, "--out", tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_worker_processes_write_the_same_folder(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw("--n", 300, "--scale", 2, "--out", f"{tmp_path}/alone/")
    monkeypatch.setattr("mnist_sample.folder._PROCESSES_FROM", 1)
    monkeypatch.setattr("mnist_sample.writing.count_cpus", lambda: 2)
    draw("--n", 300, "--scale", 2, "--out", f"{tmp_path}/workers/")
    alone, workers = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("alone", "workers")
    )
    assert len(alone) == 300
    assert workers == alone


def test_worker_processes_do_not_import_from_the_current_folder(conditional: Path, tmp_path: Path) -> None:
    (tmp_path / "socket.py").write_text("raise SystemExit('a stranger ran')")
    command = [sys.executable, "-P", "-m", "mnist_sample", "--quiet", "--provider", "cpu"]
    done = subprocess.run(
        [*command, "--model", str(conditional), "--n", "4000", "--out", "pictures/"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "pictures").iterdir())) == 4000


def test_worker_processes_may_be_talkative_at_their_start(conditional: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello' * 10_000)")
    command = [sys.executable, "-m", "mnist_sample", "--quiet", "--provider", "cpu", "--threads", "2"]
    done = subprocess.run(
        [*command, "--model", str(conditional), "--n", "4000", "--out", f"{tmp_path}/pictures/"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "pictures").iterdir())) == 4000


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("subprocess.Popen", BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))),
        ("mnist_sample.pngworkers.Thread.start", RuntimeError("can't start new thread")),
    ],
)
def test_a_system_without_worker_processes(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(call, fail)
    monkeypatch.setattr("mnist_sample.folder._PROCESSES_FROM", 1)
    monkeypatch.setattr("mnist_sample.writing.count_cpus", lambda: 2)
    draw("--n", 30, "--out", f"{tmp_path}/pictures/")
    assert len(list((tmp_path / "pictures").iterdir())) == 30


def test_large_pictures_are_made_a_few_at_a_time(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr("mnist_sample.folder.write_chunk", lambda chunk: sizes.append(len(chunk[2])))
    draw("--n", 20, "--scale", 50, "--out", f"{tmp_path}/large/")
    assert sum(sizes) == 20 * (28 * 50) ** 2
    assert max(sizes) <= 2**22


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "가" * 83 + "/"])
def test_names_as_long_as_a_disk_takes(draw: Any, tmp_path: Path, name: str) -> None:
    draw("--out", f"{tmp_path}/{name}")
    assert [path.name for path in tmp_path.iterdir()] == [name.rstrip("/")]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_keeps_its_permissions(draw: Any, tmp_path: Path, mode: int) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.png").chmod(mode)
    draw("--out", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == mode


def test_npz(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--n", 50, "--seed", 9, "--start", 2**41, "--out", tmp_path / "a.npz")
    images, labels = sampler.sample(50, seed=9, start=2**41)
    with np.load(tmp_path / "a.npz") as archive:
        held = {name: archive[name] for name in archive.files}
    np.testing.assert_array_equal(held["images"], images)
    assert held["images"].dtype == np.uint8
    np.testing.assert_array_equal(held["labels"], labels)
    assert held["labels"].dtype == np.int64
    np.testing.assert_array_equal(held["indices"], np.arange(2**41, 2**41 + 50, dtype=np.uint64))
    assert (int(held["seed"]), float(held["truncation"]), str(held["provider"])) == (9, 1.0, "cpu")
    assert str(held["model_sha256"]) == sampler.model.sha256
    assert held["classes"].tolist() == list("0123456789")


def test_npy(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--n", 50, "--out", tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), sampler.sample(50).images)


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes as http://yann.lecun.com/exdb/mnist describes it."""
    content = path.read_bytes()
    zero, kind, rank = struct.unpack(">HBB", content[:4])
    assert (zero, kind) == (0, 8)
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def test_idx(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--n", 50, "--start", 7, "--format", "idx", "--out", tmp_path / "data")
    raw = tmp_path / "data" / "MNIST" / "raw"
    for split, start, n in (("train", 7, 50), ("t10k", 7 + TEST_OFFSET, 9)):
        images, labels = sampler.sample(n, start=start)
        np.testing.assert_array_equal(read_idx(raw / f"{split}-images-idx3-ubyte"), images)
        np.testing.assert_array_equal(read_idx(raw / f"{split}-labels-idx1-ubyte"), labels)
    assert len(list(raw.iterdir())) == 4


@pytest.mark.parametrize(
    ("classes", "values"),
    [
        (("1", "2", "26"), [1, 2, 26]),
        (("0", "200", "255"), [0, 200, 255]),
        (("0", "1", "256"), [0, 1, 2]),
        (("01", "1", "2"), [0, 1, 2]),
        (("a", "1", "2"), [0, 1, 2]),
    ],
)
def test_idx_labels_are_the_values_that_classes_are_named_after(
    classes: tuple[str, ...], values: list[int], draw: Any, tmp_path: Path
) -> None:
    """A model's classes carry the values of the labels file that it was trained with."""
    model = Standin(classes=classes).save(tmp_path / "model.onnx")
    draw("--digits", ",".join(classes), "--format", "idx", "--out", tmp_path / "data", model=model)
    raw = tmp_path / "data" / "MNIST" / "raw"
    assert read_idx(raw / "train-labels-idx1-ubyte").tolist() == values


@pytest.mark.parametrize(
    ("form", "written"),
    [("npz", "digits.npz"), ("gif", "digits.gif"), ("idx", "digits/MNIST/raw/train-images-idx3-ubyte")],
)
def test_what_no_name_was_given_is_named_by_its_format(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    draw("--format", form)
    assert (tmp_path / written).is_file()
    assert len(list(tmp_path.iterdir())) == 1


def test_torchvision_opens_the_idx_folder(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    draw("--n", 30, "--format", "idx", "--out", tmp_path)
    train, test = datasets.MNIST(tmp_path), datasets.MNIST(tmp_path, train=False)
    images, labels = sampler.sample(30)
    assert (len(train), len(test)) == (30, 5)
    np.testing.assert_array_equal(train.data.numpy(), images)
    assert [label for _, label in train] == labels.tolist()


def read_gif(path: Path) -> tuple[np.ndarray, dict[Any, Any]]:
    """Return the frames as they are shown: Pillow keeps equal ones as one that lasts longer."""
    with Image.open(path) as gif:
        frames, durations = [], []
        for at in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(at)
            frames.append(np.asarray(gif.convert("L")).astype(float))
            durations.append(gif.info["duration"])
        return np.repeat(np.stack(frames), np.array(durations) // min(durations), axis=0), gif.info


def test_a_gif_walks_smoothly_in_a_loop(draw: Any, sampler: Sampler, tmp_path: Path) -> None:
    draw("--digits", "3307", "--scale", 1, "--out", tmp_path / "a.gif")
    frames, info = read_gif(tmp_path / "a.gif")
    assert len(frames) % 4 == 0
    assert info["loop"] == 0
    assert f"model_sha256={sampler.model.sha256}" in info["comment"].decode()
    assert "index=0 n=4 digit=3307" in info["comment"].decode()
    stops = frames[:: len(frames) // 4]
    np.testing.assert_array_equal(stops, sampler.sample(4, labels=[3, 3, 0, 7]).images)
    steps = np.abs(np.roll(frames, -1, axis=0) - frames).mean((1, 2))
    between = np.abs(np.roll(stops, -1, axis=0) - stops).mean((1, 2))
    assert steps.max() < between.min() / 3


def test_a_gif_turns_one_digit_into_another_instead_of_fading(
    draw: Any, sampler: Sampler, tmp_path: Path
) -> None:
    draw("--digits", "49", "--scale", 1, "--out", tmp_path / "a.gif")
    frames, _ = read_gif(tmp_path / "a.gif")
    four, nine = sampler.sample(2, labels=[4, 9]).images.astype(float)
    fade = [(1 - share) * four + share * nine for share in np.linspace(0, 1, 16)]

    def greyest(pictures: Any) -> float:
        return max(float(((grey > 64) & (grey < 192)).sum() / (grey > 64).sum()) for grey in pictures)

    assert greyest(frames) < 0.8 * greyest(fade)


def test_a_gif_is_four_times_as_large_by_default(draw: Any, tmp_path: Path) -> None:
    draw("--n", 1, "--out", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (112, 112)


def test_a_gif_may_stand_still_for_long(draw: Any, tmp_path: Path) -> None:
    """Pillow makes one frame of equal ones, and a frame lasts 655.35 seconds at most."""
    draw("--digits", "1", "--truncation", 0, "--n", 512, "--scale", 1, "--out", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        lasts = 0
        for at in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(at)
            lasts += gif.info["duration"]
    assert lasts == 512 * 32 * 40


@pytest.mark.parametrize("form", ["png", "npz", "npy", "gif"])
def test_stdout_gets_the_bytes_of_the_file(
    draw: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], form: str
) -> None:
    draw("--n", 3, "--out", "-", "--format", form)
    piped = capfdbinary.readouterr().out
    draw("--n", 3, "--out", tmp_path / f"a.{form}")
    if form == "npz":  # written without seeking back, the archive's headers differ
        with np.load(io.BytesIO(piped)) as a, np.load(tmp_path / "a.npz") as b:
            assert a.files == b.files
            assert all((a[name] == b[name]).all() for name in a.files)
    else:
        assert piped == (tmp_path / f"a.{form}").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "//dev/stdout", "link.npy"],
)
def test_other_names_of_stdout(conditional: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "a.npy"
    (tmp_path / "link.npy").symlink_to("/dev/stdout")
    target.write_bytes(b"kept")
    with target.open("ab") as file:
        command = [sys.executable, "-m", "mnist_sample", "--model", str(conditional), "--format", "npy"]
        subprocess.run([*command, "--out", name], stdout=file, cwd=tmp_path, check=True)
    assert target.read_bytes().startswith(b"kept\x93NUMPY")


def test_a_folder_called_dev_is_no_stream(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    monkeypatch.chdir(tmp_path)
    out = str(Path("dev", "stdout"))
    assert run_arguments(["--model", str(conditional), "--format", "npy", "--out", out]) == 0
    assert (tmp_path / "dev" / "stdout").read_bytes().startswith(b"\x93NUMPY")


@pytest.mark.parametrize("name", ["/dev/stdout/", "/dev/fd/99999999999"])
def test_what_only_looks_like_a_stream_is_refused(
    conditional: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_arguments(["--model", str(conditional), "--format", "png", "--out", name]) == 1
    assert capsys.readouterr().err.startswith("mnist-sample: cannot write /dev/")
    assert not list(tmp_path.iterdir())


def test_stderr_is_a_stream_too(conditional: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"kept")
    with log.open("ab") as file:
        command = [sys.executable, "-m", "mnist_sample", "--quiet", "--model", str(conditional)]
        subprocess.run([*command, "--out", "/dev/stderr"], stderr=file, check=True)
    assert log.read_bytes().startswith(b"kept\x89PNG")


def test_an_idx_folder_does_not_go_to_a_stream(conditional: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(conditional), "--format", "idx", "--out"]
    for name in ("-", "/dev/stdout", "/dev/stderr"):
        assert run_arguments([*arguments, name]) == 2
        assert "idx folder cannot go to" in capsys.readouterr().err


def test_what_the_shell_opened_is_written_to_and_not_replaced(conditional: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.npy"
    with target.open("wb") as file:
        file.write(b"head")
        file.flush()
        out = ["--format", "npy", "--out", f"/dev/fd/{file.fileno()}"]
        command = [sys.executable, "-m", "mnist_sample", "--model", str(conditional), *out]
        subprocess.run(command, pass_fds=[file.fileno()], check=True)
        file.write(b"tail")
    written = target.read_bytes()
    assert written.startswith(b"head\x93NUMPY")
    assert written.endswith(b"tail")
    assert len(written) == 4 + 128 + 5 * 28 * 28 + 4


def test_the_model_is_not_written_over(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(conditional, model)
    content = model.read_bytes()
    assert run_arguments(["--model", str(model), "--out", str(model), "--format", "npy"]) == 2
    assert "is read here, and cannot be written too" in capsys.readouterr().err
    assert model.read_bytes() == content


@pytest.mark.parametrize("name", ["seed0_index00000002_digit0.png", "MNIST/raw/t10k-labels-idx1-ubyte"])
def test_the_model_is_not_written_over_in_a_folder(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    model = tmp_path / name
    model.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(conditional, model)
    form = ["--format", "idx"] if "idx" in name else []
    out = ["--out", f"{tmp_path}/", "--digits", "0", "--n", "5", *form]
    assert run_arguments(["--model", str(model), *out]) == 2
    assert "is read here, and cannot be written too" in capsys.readouterr().err
    assert model.read_bytes() == conditional.read_bytes()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [model]


def test_a_folder_that_is_a_link_to_nothing(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    assert run_arguments(["--model", str(conditional), "--out", f"{tmp_path}/link/"]) == 1
    assert "it is no folder; remove it, or name another" in capsys.readouterr().err


def test_a_file_s_suffix_may_be_any_with_a_format(draw: Any, tmp_path: Path) -> None:
    draw("--n", 2, "--format", "npy", "--out", tmp_path / "digits.bin")
    assert np.load(tmp_path / "digits.bin").shape == (2, 28, 28)


def test_a_link_s_target_is_replaced_not_the_link(draw: Any, tmp_path: Path) -> None:
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    draw("--n", 2, "--out", tmp_path / "link.npy")
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(tmp_path / "real.npy").shape == (2, 28, 28)


def test_the_same_request_gives_the_same_file(draw: Any, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz", "a.png", "b.png", "a.gif", "b.gif"):
        draw("--n", 3, "--out", tmp_path / name)
    for kind in ("npz", "png", "gif"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_an_unconditional_model_has_no_digits_to_tell(draw: Any, unconditional: Path, tmp_path: Path) -> None:
    draw("--n", 3, "--out", tmp_path / "a.npz", model=unconditional)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["labels"].tolist() == [-1] * 3
    draw("--n", 2, "--out", f"{tmp_path}/folder/", model=unconditional)
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "seed0_index00000000.png",
        "seed0_index00000001.png",
    ]


def test_classes_with_long_names(draw: Any, named: Path, tmp_path: Path) -> None:
    draw("--digits", "dog,élan", "--out", tmp_path / "a.png", model=named)
    assert open_text(tmp_path / "a.png")["digit"] == "dog,élan"
    draw("--digits", "dog,élan", "--out", tmp_path / "a.gif", model=named)
    assert read_gif(tmp_path / "a.gif")[1]["comment"].decode().endswith(" digit=dog,élan")
    draw("--digits", "cat", "--out", f"{tmp_path}/folder/", model=named)
    assert (tmp_path / "folder" / "seed0_index00000000_digitcat.png").exists()


@pytest.mark.parametrize("out", ["数字.png", "数字/", "plain/"])
def test_names_beyond_the_locale(named: Path, tmp_path: Path, out: str) -> None:
    """An old locale holds ASCII alone: a path's bytes are kept, a class's letters cannot be."""
    command = [sys.executable, "-m", "mnist_sample", "--model", str(named), "--n", "20", "--out", out]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **ascii_only}, check=True)
    assert (tmp_path / out).exists()
    if out == "plain/":
        names = [path.stem.partition("_digit")[2] for path in (tmp_path / out).iterdir()]
        assert sorted(set(names)) == ["_lan", "cat", "dog"]


def test_info_beyond_the_locale(tmp_path: Path) -> None:
    model = Standin(classes=("one", "数")).save(tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "mnist_sample", "--info", "--model", model],
        env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "classes: one \\u6570" in done.stdout


def test_the_summary_names_seed_samples_and_provider(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(conditional), "--provider", "cpu", "--n", "3", "--seed", "8", "--start", "4"]
    assert run_arguments([*arguments, "--out", f"{tmp_path}/a.png"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{tmp_path}/a.png: seed 8, sample 4 to 6, drawn on CPU\n"
