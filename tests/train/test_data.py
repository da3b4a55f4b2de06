"""Any folder of IDX files is read, and each kind of damage has its own message."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from http.client import BadStatusLine, InvalidURL
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets

import train.data
from tests.train.idx_files import IMAGES, LABELS, images_idx, labels_idx, make_images, write_folder
from train.data import Dataset, load_dataset
from train.idx import DataError


def load(folder: Path) -> Dataset:
    return load_dataset(str(folder), warn=pytest.fail)


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read_plain_or_gzipped(packed: bool, tmp_path: Path) -> None:
    data = load(write_folder(tmp_path / "shapes", (0, 1, 2), packed=packed))
    assert data.name == "shapes"
    assert not data.seen_mnist
    np.testing.assert_array_equal(data.images, make_images(48))
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels, np.arange(48) % 3)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    plain, packed = write_folder(tmp_path / "a"), write_folder(tmp_path / "b", packed=True)
    other_labels = write_folder(tmp_path / "c", (0, 1))
    other_images = write_folder(tmp_path / "d", seed=1)
    digests = [load(folder).sha256 for folder in (plain, packed, other_labels, other_images)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("classes", [(0,), (7,), (1, 2, 26), tuple(range(256))])
def test_any_number_of_classes_is_named_as_the_file_names_them(
    classes: tuple[int, ...], tmp_path: Path
) -> None:
    data = load(write_folder(tmp_path, classes, count=256))
    assert data.class_names == tuple(str(value) for value in classes)
    assert data.labels is not None
    named = [int(data.class_names[label]) for label in data.labels]
    assert named == np.resize(classes, 256).tolist()


@pytest.mark.parametrize(
    "name", ["train-labels.idx1-ubyte", "train-labels-idx1-ubyte.GZ", "MNIST/raw/train-labels-idx1-ubyte"]
)
def test_labels_are_not_passed_over(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / LABELS).rename(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is not read as the labels"):
        load(tmp_path)


def test_labels_above_torchvisions_folder_are_not_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / LABELS).rename(tmp_path / LABELS)
    with pytest.raises(DataError, match=f"{LABELS} is not read as the labels"):
        load(tmp_path)


def test_images_without_labels_have_no_classes(tmp_path: Path) -> None:
    data = load(write_folder(tmp_path, None))
    assert data.labels is None
    assert data.class_names == ()


def test_torchvisions_folder_is_found_below_its_root(tmp_path: Path) -> None:
    write_folder(tmp_path / "MNIST" / "raw")
    assert len(load(tmp_path).images) == 48


def test_an_empty_folder_of_torchvisions_hides_no_files(tmp_path: Path) -> None:
    """A download of its that failed leaves one."""
    write_folder(tmp_path)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    assert len(load(tmp_path).images) == 48


def bomb() -> bytes:
    """Return 2 MB of gzip that unpack to 2 GB, behind a header that announces one image."""
    packer = gzip.compress(images_idx(make_images(1)))
    return packer + gzip.compress(bytes(2**24)) * 128


DAMAGES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "bad magic": (IMAGES, lambda: b"\0\0\x08\1" + images_idx(make_images(48))[4:], "no IDX file of images"),
    "labels for images": (IMAGES, lambda: labels_idx(np.zeros(48, np.uint8)), "no IDX file of images"),
    "no IDX at all": (IMAGES, lambda: b"<html>Not found</html>", "no IDX file of images"),
    "empty": (IMAGES, lambda: b"", "ends within its header"),
    "truncated": (IMAGES, lambda: images_idx(make_images(48))[:-1], "is truncated: 37631 of 37632 bytes"),
    "count too small": (IMAGES, lambda: images_idx(make_images(48)) + b"\0", "goes on after the 37632 bytes"),
    "no images": (IMAGES, lambda: images_idx(make_images(0)), "holds nothing"),
    "billions": (IMAGES, lambda: struct.pack(">4I", 0x803, 2**32 - 1, 28, 28), "announces 4294967295 items"),
    "32 pixels": (IMAGES, lambda: images_idx(np.zeros((48, 32, 32), np.uint8)), "32 x 32 pixels; only 28"),
    "not square": (IMAGES, lambda: images_idx(np.zeros((48, 28, 27), np.uint8)), "28 x 27 pixels; only 28"),
    "gzip cut": (IMAGES, lambda: gzip.compress(images_idx(make_images(48)))[:-40], "is damaged"),
    "gzip bit": (IMAGES, lambda: gzip.compress(images_idx(make_images(48)))[:-8] + bytes(8), "is damaged"),
    "gzip bomb": (IMAGES, bomb, "goes on after the 784 bytes"),
    "few labels": (LABELS, lambda: labels_idx(np.zeros(47, np.uint8)), "47 labels for 48 images"),
    "labels' magic": (LABELS, lambda: images_idx(make_images(1)), "no IDX file of labels"),
    "labels cut": (LABELS, lambda: labels_idx(np.zeros(48, np.uint8))[:-1], "is truncated: 47 of 48"),
}


@pytest.mark.parametrize(("name", "content", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_in_one_line(
    name: str, content: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    (write_folder(tmp_path) / name).write_bytes(content())
    with pytest.raises(DataError, match=message) as refused:
        load(tmp_path)
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_with_only_the_test_files_is_named_as_that(tmp_path: Path) -> None:
    for path in write_folder(tmp_path).iterdir():
        path.rename(path.with_name(path.name.replace("train", "t10k")))
    with pytest.raises(DataError, match="only the t10k files: train-images-idx3-ubyte"):
        load(tmp_path)


@pytest.mark.parametrize("name", [IMAGES, LABELS, f"{LABELS}.gz"])
@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself"])
def test_what_is_there_but_no_file_does_not_pass_for_missing(name: str, kind: str, tmp_path: Path) -> None:
    """Else labels behind a broken link would make an unconditional generator, in silence."""
    path = write_folder(tmp_path) / name
    (tmp_path / name.removesuffix(".gz")).unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(name if kind == "link to itself" else "nowhere")
    with pytest.raises(DataError, match=f"{name} is no file, or a link that leads nowhere"):
        load(tmp_path)


def test_a_folder_that_cannot_be_read_is_one_line() -> None:
    with pytest.raises(DataError, match=r"cannot read the folder .*: File name too long"):
        load(Path("a" * 300))


def test_an_empty_folder_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"there is no folder .*auto, mnist, bundled"):
        load(tmp_path / "nowhere")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no MNIST and no network."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    def fail() -> None:
        raise train.data.MissingError("MNIST could not be downloaded: name it")

    monkeypatch.setattr(train.data, "_download", fail)


@pytest.mark.parametrize(
    "error",
    [
        URLError("no network"),
        InvalidURL("nonnumeric port: 'x'"),
        BadStatusLine("?"),
        ValueError("unknown url"),
    ],
)
def test_what_a_download_fails_of_passes_for_no_network(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that is mistyped or answers nonsense makes errors of many kinds."""

    def fail(_folder: str, download: bool) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(train.data.MissingError, match="MNIST could not be downloaded"):
        train.data._download()
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_leaves_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: str, download: bool) -> None:
        raise OSError

    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(train.data.MissingError):
        train.data._download()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_auto_takes_the_named_folder_first(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "data", count=2)
    assert len(load(Path("auto")).images) == 2
    monkeypatch.setenv("MNIST_DIR", str(write_folder(tmp_path / "named", count=3)))
    assert len(load(Path("auto")).images) == 3


def test_a_link_to_itself_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match="loop"):
        load(tmp_path / "loop")


def test_auto_does_not_pass_over_a_mistyped_or_damaged_folder(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "mistyped"))
    with pytest.raises(DataError, match="MNIST_DIR: there is no folder"):
        load(Path("auto"))
    monkeypatch.delenv("MNIST_DIR")
    (write_folder(tmp_path / "data") / IMAGES).write_bytes(b"")
    with pytest.raises(DataError, match="ends within its header"):
        load(Path("auto"))


def test_mnist_never_falls_back(offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="could not be downloaded"):
        load(Path("mnist"))
    monkeypatch.setenv("MNIST_DIR", str(write_folder(tmp_path / "others")))
    with pytest.raises(DataError, match="others holds other digits than MNIST"):
        load(Path("mnist"))


def test_auto_falls_back_with_a_warning_and_a_mark(offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, object] = {}

    class Sampler:
        def __init__(self, provider: str) -> None:
            drawn["provider"] = provider

        def sample(self, count: int, seed: int) -> tuple[object, object]:
            drawn.update(count=count, seed=seed)
            return make_images(20), np.arange(20) % 10

    monkeypatch.setattr("mnist_sample.Sampler", Sampler)
    monkeypatch.setattr(train.data, "BUNDLED", Path(__file__))
    warnings: list[str] = []
    data = load_dataset("auto", warnings.append)
    assert "WILL NOT HAVE SEEN MNIST (MNIST could not be downloaded)" in warnings[0]
    assert not data.seen_mnist
    assert data.kind == "bundled"
    assert data.class_names == tuple("0123456789")
    assert drawn == {"provider": "cpu", "count": 60_000, "seed": 0}


def test_without_a_bundled_generator_the_remedy_is_named(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.data, "BUNDLED", tmp_path / "generator.onnx")
    with pytest.raises(DataError, match="no bundled generator: name MNIST's folder with --data DIR"):
        load(Path("bundled"))


def test_mnist_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "unnamed")
    digest = hashlib.sha256((folder / IMAGES).read_bytes()).hexdigest()
    monkeypatch.setitem(train.data.MNIST_IMAGES_SHA256, "train", digest)
    data = load(folder)
    assert (data.name, data.kind, data.seen_mnist) == ("MNIST", "mnist", True)
