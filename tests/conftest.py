"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import pytest

# What a test expects is what a CPU gives, on every machine; a GPU's own checks are in tests/gpu.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# The tests run in a process for each of two CPUs: PyTorch's threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """Hear the signals that whoever started the tests has had ignored, as `nohup` and `&` of a script do.

    The commands under test would inherit that, and rightly ignore them too.
    """
    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # Windows has none
    for number in (signal.SIGINT, signal.SIGTERM, hangup):
        if signal.getsignal(number) is signal.SIG_IGN:
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)
