"""Worker processes that write pictures, each with a thread here that hands it one chunk after the other.

Not a `ProcessPoolExecutor`: that of Python 3.11.2 waits for ever once a worker was killed
(https://github.com/python/cpython/issues/94777), and needs threads and locks in each process.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import IO, Final, cast

from mnist_sample.errors import OutputError
from mnist_sample.pngworker import ANSWER_BYTES, Chunk
from mnist_sample.process import signals_held

_PROGRAM: Final = "import sys; sys.path[:] = {}; from mnist_sample.pngworker import serve; serve()"


class Workers:
    """Worker processes, as many as the system has for us.

    Args:
        count: how many there are to be.
    """

    def __init__(self, count: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[Thread] = []
        self._todo: Queue[Chunk | None] = Queue(count)
        self._failures: list[Exception] = []
        with suppress(OSError, RuntimeError):  # no more processes, or no more threads
            for _ in range(count if sys.executable else 0):
                self._start_one()

    def __len__(self) -> int:
        return len(self._threads)

    def _start_one(self) -> None:
        with signals_held():  # for ever, in that process: Ctrl-C is for this one
            # -P: what lies in the current folder is not to be taken for Python's own modules.
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM.format(ascii(sys.path))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._processes.append(process)
            thread = Thread(target=self._hand_on, args=(process,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Write all chunks, and end the workers.

        Raises:
            OSError: the folder cannot be written, or is full.
            OutputError: a worker was killed.
        """
        try:
            for chunk in chunks:
                self._todo.put(chunk)
                self._raise_failure()
        except BaseException:
            for process in self._processes:
                process.kill()
            raise
        finally:
            for _ in self._threads:
                self._todo.put(None)
            for thread in self._threads:
                thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _hand_on(self, process: subprocess.Popen[bytes]) -> None:
        while (chunk := self._todo.get()) is not None:
            if self._failures:  # what is left is not to be written, but whoever puts it here must not wait
                continue
            try:
                _write(process, chunk)
            except Exception as error:
                self._failures.append(error)
        with suppress(OSError):
            cast(IO[bytes], process.stdin).close()
        process.wait()
        cast(IO[bytes], process.stdout).close()


def _write(process: subprocess.Popen[bytes], chunk: Chunk) -> None:
    """Have a chunk written.

    Raises:
        OSError: the folder cannot be written, or is full.
        OutputError: the process was killed.
    """
    stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    answer = b""
    with suppress(BrokenPipeError):
        pickle.dump(chunk, stdin)
        stdin.flush()
        answer = stdout.read(ANSWER_BYTES)
    if len(answer) < ANSWER_BYTES:
        raise OutputError("a process that writes pictures was killed: is there enough memory?")
    status = int.from_bytes(answer, "little")
    if status:
        raise OSError(status, os.strerror(status))
