"""The command starts light, completes, and is a module too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_sample import __version__
from tests.environment import leftovers

LIST_MODULES = """
import json, sys
from mnist_sample.cli import run_arguments
code = run_arguments(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("option", "words"), [("--help", "Example: mnist-sample"), ("--version", __version__)]
)
def test_help_and_version_load_next_to_nothing(option: str, words: str) -> None:
    text, last = run("-c", LIST_MODULES, option).rstrip("\n").rsplit("\n", 1)
    code, modules = json.loads(last)
    assert code == 0
    assert words in text
    heavy = {"numpy", "onnxruntime", "PIL", "rich", "pydantic", "asyncio", "multiprocessing"}
    assert not heavy & set(modules)


def test_python_m_is_the_command() -> None:
    assert run("-m", "mnist_sample", "--version") == f"mnist-sample {__version__}\n"


def test_shell_completion() -> None:
    script = run("-m", "mnist_sample", _MNIST_SAMPLE_COMPLETE="source_bash")
    assert "complete -o default -F _mnist_sample_completion mnist-sample" in script
    options = run(
        "-m",
        "mnist_sample",
        _MNIST_SAMPLE_COMPLETE="complete_bash",
        COMP_WORDS="mnist-sample --tr",
        COMP_CWORD="1",
    )
    assert options.split() == ["--truncation"]


def test_onnxruntime_keeps_no_record_of_who_draws_where(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    out = str(tmp_path / "digits.npy")
    drawing = ["-m", "mnist_sample", "-q", "--provider", "cpu", "--n", "1", "--out", out]
    assert leftovers(tmp_path / "home", *drawing) == []
