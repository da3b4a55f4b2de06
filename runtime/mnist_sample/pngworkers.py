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
from mnist_sample.pngworker import ANSWER_BYTES, GREETING, Chunk
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
        self._todo: Queue[Chunk | None] = Queue(1)  # one more, beside those that are being written
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
            thread = Thread(target=self._hand_on, args=(process,), daemon=True)
            try:
                thread.start()
            except RuntimeError:
                process.kill()
                process.wait()
                raise
            self._processes.append(process)
            self._threads.append(thread)

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Write all chunks, and end the workers.

        Raises:
            OSError: the folder cannot be written, or is full.
            OutputError: a worker was killed, or failed.
        """
        try:
            for chunk in chunks:
                self._todo.put(chunk)
                self._raise_failure()
            for _ in self._threads:
                self._todo.put(None)
            for thread in self._threads:
                thread.join()
        except BaseException:  # also a signal while the last ones are being written
            self._kill()
            raise
        self._raise_failure()

    def _kill(self) -> None:
        """End all workers at once, and wait until nothing is written any more.

        The threads are left waiting: a signal may have come while the queue was locked, or a thread joined.
        """
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _hand_on(self, process: subprocess.Popen[bytes]) -> None:
        stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        greeted = False
        while (chunk := self._todo.get()) is not None:
            if self._failures:  # what is left is not to be written, but whoever puts it here must not wait
                continue
            try:
                greeted = greeted or _await_greeting(stdout)
                _write(process, stdin, stdout, chunk)
            except Exception as error:
                self._failures.append(error)
        with suppress(OSError):
            stdin.close()
        process.wait()
        stdout.close()


def _await_greeting(stdout: IO[bytes]) -> bool:
    """Read until a worker greets; return False where it has ended without."""
    said = b""
    while not said.endswith(GREETING):
        letter = stdout.read(1)
        if not letter:
            return False
        said = said[-len(GREETING) :] + letter
    return True


def _write(process: subprocess.Popen[bytes], stdin: IO[bytes], stdout: IO[bytes], chunk: Chunk) -> None:
    """Have a chunk written.

    Raises:
        OSError: the folder cannot be written, or is full.
        OutputError: the process was killed, or failed.
    """
    answer = b""
    with suppress(OSError):  # of the pipe alone: what is wrong with the folder, the answer tells
        pickle.dump(chunk, stdin)
        stdin.flush()
        answer = stdout.read(ANSWER_BYTES)
    if len(answer) < ANSWER_BYTES:
        if process.wait() > 0:
            raise OutputError("a process that writes pictures failed: use --threads 1")
        raise OutputError("a process that writes pictures was killed: is there enough memory?")
    status = int.from_bytes(answer, "little")
    if status:
        raise OSError(status, os.strerror(status))
