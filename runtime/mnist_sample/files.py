"""Files that appear whole or not at all, and a stream that takes no more."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO, TypeVar, cast

from mnist_sample.errors import OutputError, UsageError
from mnist_sample.process import signals_held

_Item = TypeVar("_Item")
_STREAMS: Final = ("stdin", "stdout", "stderr")
_MAX_LINKS: Final = 40
"""As many as Linux follows."""
_MAX_DIGITS: Final = 10
"""No stream has a number of so many."""
_WRITE_BACK_BYTES: Final = 2**22
"""What may be left to the fsync at the end: at 160 MB it takes 3 ms with this, 8 with four times as much."""
_KEPT_BYTES: Final = 200


def current_umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def hidden_prefix(name: str) -> str:
    """Return how the temporary name beside `name` begins: cut, since disks take no more than 255 bytes."""
    while len(os.fsencode(name)) > _KEPT_BYTES:
        name = name[:-1]
    return f".{name}."


def _choose_mode(path: Path) -> int:
    """Return the mode that open() would leave `path` with."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~current_umask()


def follow_link(path: Path) -> Path:
    """Return what stands behind a link, or will: files are written through it, not over it.

    Raises:
        OSError: the link leads round in a circle.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def find_descriptor(name: str) -> int | None:
    """Return the number of the open stream that a path names, itself or by links; None if it names a file.

    Taken for a file, what the shell has opened there would be replaced.
    """
    if os.name != "posix" or name.endswith("/"):
        return None
    with contextlib.suppress(OSError):  # what is wrong with it is told when it is written
        path = Path(name) if name.startswith("/") else Path.cwd() / name
        for _ in range(_MAX_LINKS):
            path = Path(os.path.realpath(path.parent), path.name)
            match path.parts[1:]:
                case ("dev", stream) if stream in _STREAMS:
                    return _STREAMS.index(stream)
                case ("dev", "fd", number):
                    return _read_number(number)
                case ("proc", process, "fd", number) | ("proc", process, "task", _, "fd", number) if (
                    process == str(os.getpid())
                ):
                    return _read_number(number)
            if not path.is_symlink():
                break
            path = path.parent / path.readlink()
    return None


def _read_number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else None


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for writing and rename it to `path` when the block succeeds.

    A link stays one; the file behind it is replaced. `/dev/stdout` is a link, which all processes share.
    Whatever stood at `path` stays until the new file is complete and on disk; a block that raises leaves
    it untouched and removes the temporary file.

    Raises:
        OSError: the folder is missing, read-only or full.
        OutputError: `path` is a folder; told before the block begins.
    """
    path = follow_link(path)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; remove it, or write elsewhere")
    temporary: Path | None = None
    try:
        with signals_held():  # until its name is known, nobody could remove it
            handle, name = tempfile.mkstemp(prefix=hidden_prefix(path.name), suffix=".tmp", dir=path.parent)
            temporary = Path(name)
        with os.fdopen(handle, "w+b") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_choose_mode(path))  # mkstemp makes private files
        temporary.replace(path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder, with its parents, for the block; one that raises removes those that were missing.

    Raises:
        OSError: one of them cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):  # it was not made, or somebody else put something there
                path.rmdir()
        raise


@contextlib.contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder, until the block or this process ends.

    Some network file systems have no locks, nor has Windows: there it keeps nobody out.

    Raises:
        BlockingIOError: another process is in, and `wait` is false.
        OSError: the folder cannot be opened.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # this file system has none
        yield
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through `atomic_file`.

    Raises:
        OSError: the folder is missing, read-only or full.
        OutputError: `path` is a folder.
    """
    with atomic_file(path) as file:
        file.write(content)


def check_target(target: Path, read: Iterable[Path]) -> None:
    """Refuse what a file should not or could not replace, before minutes of work are done for it.

    Args:
        target: the file that will be written.
        read: the files that are read before.

    Raises:
        OutputError: it is a folder, a device, a pipe or an open stream, or its folder is missing or
            may not be written to.
        UsageError: it is one of those that are read.
    """
    if find_descriptor(str(target)) is not None:
        raise OutputError(f"cannot write {target}: it is an open stream; name a file")
    mode = stat.S_IFREG  # as it will be
    try:
        folder = follow_link(target).parent
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IFMT(target.stat().st_mode)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}; name another file") from error
    if mode == stat.S_IFDIR:
        raise OutputError(f"cannot write {target}: it is a folder; name a file in it")
    if mode != stat.S_IFREG:
        raise OutputError(f"cannot write {target}: it is a device or a pipe, which the file would replace")
    check_folder(folder, target)
    refuse_input(target, read)


def check_folder(folder: Path, target: Path) -> None:
    """Refuse a folder that `target` could not be written into.

    Raises:
        OutputError: it is missing, or may not be written to.
    """
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {target}: no permission to write in {folder}; write elsewhere")


def refuse_input(target: Path, read: Iterable[Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        UsageError: `target` is one of the files `read`.
    """
    for path in read:
        with contextlib.suppress(OSError):  # reading or writing it will tell what is wrong with it
            if target.samefile(path):
                raise UsageError(f"{target} is read here, and cannot be written too; name another file")


def write_back_early(file: BinaryIO, items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items unchanged, while the disk takes what the caller has made of them in `file`.

    Left to itself, Linux keeps it in memory for half a minute, and the fsync at the end waits for all of it.
    """
    handle, begun = file.fileno(), 0
    for item in items:
        yield item
        size = os.fstat(handle).st_size
        if size - begun >= _WRITE_BACK_BYTES and hasattr(os, "posix_fadvise"):
            # Its side effect: writing begins for what is not on disk yet, without waiting for the end.
            os.posix_fadvise(handle, begun, size - begun, os.POSIX_FADV_DONTNEED)
            begun = size


def write_stderr(line: str) -> None:
    """Write a line on stderr; where that is closed or takes no more, the exit code has to tell it."""
    if sys.stderr is None:  # print() would take stdout for it
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Throw away what stdout or stderr did not take: else Python tries again at exit, and complains anew."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
