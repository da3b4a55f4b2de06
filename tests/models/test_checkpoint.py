"""The checkpoint format: what was written comes back, and a stranger's file is refused in bounded memory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models.digits
import models.tutorial
import models.untrusted
from mnist_sample import contract, modelfile
from models import checkpoint as checkpoints
from models.checkpoint import CheckpointError
from tests.environment import ROOT
from tests.models import strangers
from tests.models.checkpoints import KINDS, make_checkpoint

ALLOWANCE = 256 * 2**20
"""Memory that reading may take beyond what Python and torch hold already; the file may have 64 MiB."""


def test_what_can_be_trained_can_be_sampled() -> None:
    """The rooms state their bounds apart, since `models` knows nothing of the sampler."""
    assert models.untrusted.MAX_FILE_BYTES == contract.MAX_FILE_BYTES
    assert models.digits.MAX_CLASSES == contract.MAX_CLASSES
    assert models.digits.MAX_LATENT_DIM == models.tutorial.MAX_LATENT_DIM == contract.MAX_LATENT_DIM
    assert checkpoints.MAX_CLASS_NAME == modelfile.MAX_CLASS_NAME


READ_ALL = """
import json, resource, sys
from pathlib import Path
from models.checkpoint import CheckpointError, read
read(Path(sys.argv[2]))
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
answers = {}
for path in sys.argv[3:]:
    try:
        read(Path(path))
        answers[path] = ""
    except CheckpointError as error:
        answers[path] = str(error)
print(json.dumps(answers))
"""


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Case -> what reading it says, all read by one process whose memory is limited."""
    folder = tmp_path_factory.mktemp("strangers")
    paths = strangers.write_cases(folder)
    good = folder / "good.pt"
    good.write_bytes(strangers.good_bytes())
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(ALLOWANCE), str(good), *map(str, paths.values())],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / strangers.MARKER).exists(), "code in a checkpoint was run"
    found = json.loads(done.stdout)
    return {name: found[str(path)] for name, path in paths.items()}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited through Linux' own means")
@pytest.mark.parametrize("case", strangers.CASES)
def test_a_strangers_file_is_refused_in_one_line(case: str, answers: dict[str, str]) -> None:
    assert strangers.CASES[case][1] in answers[case]
    assert len(answers[case].splitlines()) == 1
    assert len(answers[case]) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    written = make_checkpoint(kind)
    content = checkpoints.encode(written)
    path = tmp_path / "gen.pt"
    path.write_bytes(content)
    read, sha256 = checkpoints.read(path)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert (read.architecture, read.config) == (written.architecture, written.config)
    assert read.class_names == written.class_names
    assert (read.training, read.evaluation) == (written.training, written.evaluation)
    assert read.weights.keys() == written.weights.keys()
    assert all(torch.equal(read.weights[name], weight) for name, weight in written.weights.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_is_built_in_evaluation_mode(kind: str) -> None:
    checkpoint = make_checkpoint(kind)
    generator = checkpoint.build_generator()
    assert not any(module.training for module in generator.modules())
    latent = torch.randn(3, checkpoint.config.latent_dim)
    label = (torch.tensor([0, 1, 0]),) if checkpoint.config.classes else ()
    together = generator(latent, *label)
    alone = generator(latent[:1], *(row[:1] for row in label))
    assert together.shape == (3, 1, 28, 28)
    assert together.abs().max() <= 1
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-5)


def test_a_checkpoint_that_shares_memory_between_weights_is_read(tmp_path: Path) -> None:
    """A training may save views; what counts is what they hold."""
    checkpoint = make_checkpoint()
    name = max(checkpoint.weights, key=lambda name: checkpoint.weights[name].numel())
    weight = checkpoint.weights[name]
    checkpoint.weights[name] = weight.T.contiguous().T
    path = tmp_path / "gen.pt"
    path.write_bytes(checkpoints.encode(checkpoint))
    assert torch.equal(checkpoints.read(path)[0].weights[name], weight)


def test_what_torch_saves_of_networks_is_read(tmp_path: Path) -> None:
    """A state dict with its versions, parameters, one tensor twice, and numbers to the limits of 64 bits."""
    facts = {
        "low": -(2**63),
        "high": 2**63 - 1,
        "large": 2**40,
        "none": None,
        "list": [[0.5, True], "\u00e9"],
    }
    generator = make_checkpoint().build_generator()

    def edit(raw: strangers.Raw) -> None:
        shared = next(iter(raw["weights"].values()))
        raw.update(weights=generator.state_dict(keep_vars=True), training=facts)
        raw["weights"][next(iter(raw["weights"]))] = shared

    path = tmp_path / "gen.pt"
    path.write_bytes(strangers.change(edit))
    read, _ = checkpoints.read(path)
    assert read.training == facts
    assert any(type(weight) is torch.nn.Parameter for weight in read.weights.values())


@pytest.mark.parametrize(
    "attributes",
    [{"_metadata": 5}, {"_metadata": {"normalise_hidden": {"version": "x"}}}, {"keys": 5, "items": 5}],
    ids=str,
)
def test_what_hangs_on_the_weights_is_dropped(attributes: dict[str, object]) -> None:
    """PyTorch's own tables of weights carry notes, which its loading obeys."""
    checkpoint = checkpoints.decode(strangers.hang_on_weights(**attributes))
    assert type(checkpoint.weights) is dict
    checkpoint.build_generator()


def test_facts_that_share_a_tuple_are_read(tmp_path: Path) -> None:
    """A reader refuses a tuple that is met twice, so none is written."""
    betas = (0.0, 0.99)
    path = tmp_path / "gen.pt"
    path.write_bytes(checkpoints.encode(replace(make_checkpoint(), training={"d": betas, "g": betas})))
    assert checkpoints.read(path)[0].training == {"d": [0.0, 0.99], "g": [0.0, 0.99]}


def test_what_nobody_could_read_is_not_written() -> None:
    checkpoint = replace(make_checkpoint(), training={"torch": torch.__version__})
    assert type(torch.__version__) is not str
    with pytest.raises(CheckpointError, match="training holds a value"):
        checkpoints.encode(checkpoint)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pt.*No such file"):
        checkpoints.read(tmp_path / "absent.pt")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="directory"):
        checkpoints.read(tmp_path)


def test_a_file_over_the_limit_is_refused_unparsed(tmp_path: Path) -> None:
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="larger than 64 MiB"):
        checkpoints.read(path)
