"""What a request asks for: whether its options make sense, which format, which digits."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, cast

from mnist_sample.errors import UsageError
from mnist_sample.files import find_descriptor
from mnist_sample.job import Format, Job, Request
from mnist_sample.labels import LabelSource, no_labels, random_labels, repeated_labels
from mnist_sample.randomness import check_range
from mnist_sample.sampler import MAX_TRUNCATION, Sampler

_BY_SUFFIX: Final[dict[str, Format]] = {".png": "png", ".npz": "npz", ".npy": "npy", ".gif": "gif"}
_DEFAULT_N: Final = 5


def name_output(wanted: str | None) -> str:
    """Return what is written where `--out` names nothing: `digits.png`, or what `--format` makes."""
    return "digits/" if wanted == "idx" else f"digits.{wanted or 'png'}"


def choose_format(out: str, wanted: str | None) -> Format:
    """Return the format that `--out` and `--format` mean together.

    Raises:
        UsageError: they contradict each other, or neither tells.
    """
    if wanted is not None and wanted not in ("png", "npz", "npy", "idx", "gif"):
        raise UsageError(f"unknown format {wanted!r}: use png, npz, npy, idx or gif")
    if not out:
        raise UsageError("--out is empty: name a file, a folder/ or - for stdout")
    if out == "-":
        if wanted == "idx":
            raise UsageError("an idx folder cannot go to stdout: name a folder with --out")
        return cast(Format, wanted or "png")
    if out.endswith(("/", os.sep)) or _is_folder(Path(out)):
        if wanted not in (None, "png", "idx"):
            raise UsageError(f"{out} is a folder, but --format {wanted} makes one file: name it")
        return "idx" if wanted == "idx" else "folder"
    suffix = Path(out).suffix.lower()
    found = _BY_SUFFIX.get(suffix)
    if find_descriptor(out) is not None:
        if wanted == "idx":
            raise UsageError(f"an idx folder cannot go to {out}: name a folder with --out")
        found = found or cast(Format, wanted or "png")
    if wanted is None and found is None:
        raise UsageError(
            f"cannot tell a format from {out!r}: end it in .png, .npz, .npy or .gif, in / for a folder, "
            "or add --format"
        )
    if wanted is not None and found not in (None, wanted):
        raise UsageError(f"--format {wanted} contradicts the suffix of {out}")
    return cast(Format, wanted or found)


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):  # what is wrong with it is told when it is written
        return path.is_dir()
    return False


def parse_digits(text: str, classes: tuple[str, ...]) -> list[int]:
    """Return the class indices that `--digits` names: one letter each, or names separated by commas.

    Raises:
        UsageError: the model has no classes, or none of that name.
    """
    if not classes:
        raise UsageError("this model is unconditional: it draws whatever comes, so --digits cannot be kept")
    names = text.split(",") if "," in text or max(map(len, classes)) > 1 else list(text)
    if not text or not all(names):
        raise UsageError("--digits needs at least one digit, such as --digits 2026")
    unknown = [name for name in names if name not in classes]
    if unknown:
        known = "".join(classes) if max(map(len, classes)) == 1 else ", ".join(classes)
        raise UsageError(f"--digits: this model cannot draw {unknown[0]!r}, only {known}")
    return [classes.index(name) for name in names]


def check_request(request: Request) -> Format:
    """Check all that can be checked before a model is read, and return the output format.

    Raises:
        UsageError: an option is out of range, or options contradict each other.
    """
    if request.n is not None and request.n < 1:
        raise UsageError(f"--n {request.n} makes no digits: use 1 or more")
    check_range(request.seed, request.start, request.n or 1)
    for option, value in (("columns", request.columns), ("scale", request.scale)):
        if value is not None and not 1 <= value <= 1000:
            raise UsageError(f"--{option} {value} is out of range: use 1 to 1000")
    if not 0 <= request.truncation <= MAX_TRUNCATION:
        raise UsageError(f"--truncation {request.truncation} is out of range: use 0 to {MAX_TRUNCATION:g}")
    form = choose_format(request.out, request.format)
    if request.columns is not None and form != "png":
        raise UsageError("--columns is for a sheet, --out FILE.png")
    if request.scale is not None and form not in ("png", "folder", "gif"):
        raise UsageError(f"--scale is for pictures: {form} always holds 28 x 28 pixels")
    return form


def plan_job(request: Request, sampler: Sampler) -> Job:
    """Decide how many samples of which classes to draw.

    Raises:
        UsageError: `--digits` does not fit the model.
    """
    classes = sampler.model.classes
    labels: LabelSource = random_labels(request.seed, len(classes)) if classes else no_labels()
    pattern: list[int] = []
    if request.digits is not None:
        pattern = parse_digits(request.digits, classes)
        labels = repeated_labels(pattern)
    n = request.n or len(pattern) or _DEFAULT_N
    return Job(sampler, n, request.seed, request.start, request.truncation, labels, request.digits)
