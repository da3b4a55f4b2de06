"""Mutates a good model file over and over and draws from what is left; run as a process of its own.

`python -m tests.runtime.mutate FILE COUNT SCRATCH` prints, as JSON, how often a file was refused and how
often it gave pictures, and by how many bytes the peak of memory rose. Anything else that happens ends the
process.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import onnx

from mnist_sample.errors import MnistSampleError
from mnist_sample.modelfile import seal
from mnist_sample.sampler import Sampler

LIMIT_SECONDS = 120
"""For one file, on however busy a machine; a hang lasts for ever."""
LIMIT_BYTES = 8 * 2**30
"""Of address space, most of which Python and onnxruntime only reserve."""
EXTREMES = (0, 1, -1, 2, 7, 255, 2**16, 2**31 - 1, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
NAMES = ("", "latent", "label", "image", "sample", "batch", "Conv", "Loop", "MatMul", "Add", "Gather", "\x00")


def mutate_bytes(content: bytes, random_: random.Random) -> bytes:
    """Change, remove, repeat or insert some bytes."""
    mutated = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 8))):
        at = random_.randrange(len(mutated))
        size = random_.choice((1, 2, 8, 64, 1024))
        kind = random_.randrange(5)
        if kind == 0:
            mutated[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            mutated[at : at + size] = random_.randbytes(size)
        elif kind == 2:
            del mutated[at : at + size]
        elif kind == 3:
            mutated[at:at] = mutated[at : at + size]
        else:
            mutated[at : at + 10] = b"\xff" * 9 + b"\x01"  # the largest number that protobuf writes
        if len(mutated) < 2:
            break
    return bytes(mutated)


def _messages(message: Any) -> list[Any]:
    """Return a protobuf message and all that it holds."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if isinstance(value, list) or hasattr(value, "append") else [value]:
                found += _messages(child)
    return found


def mutate_structure(content: bytes, random_: random.Random) -> bytes:
    """Change numbers, names and lists of the decoded model, so that it stays well formed."""
    model = onnx.load_from_string(content)
    for _ in range(random_.choice((1, 1, 2, 5))):
        target = random_.choice(_messages(model.graph))
        fields = [field for field, _ in target.ListFields() if field.message_type is None]
        if not fields:
            continue
        field = random_.choice(fields)
        value = getattr(target, field.name)
        if isinstance(value, int):
            extreme = random_.choice((*EXTREMES, value + 1, value - 1, value * 2))
            try:
                setattr(target, field.name, extreme)
            except ValueError:  # too large for the field
                setattr(target, field.name, random_.choice((0, 1, 7)))
        elif isinstance(value, str):
            setattr(target, field.name, random_.choice(NAMES))
        elif isinstance(value, bytes):
            setattr(target, field.name, value[: random_.randrange(len(value) + 1)])
        elif isinstance(value, float):
            setattr(target, field.name, random_.choice((0.0, float("nan"), float("inf"), -1e30)))
        elif len(value) and isinstance(value[0], int):
            value[random_.randrange(len(value))] = random_.choice((*EXTREMES, value[0] + 1))
        elif len(value):
            value[random_.randrange(len(value))] = random_.choice(NAMES)
    return bytes(model.SerializeToString())


def draw(content: bytes, path: Path) -> str:
    """Return `picture` or `refused`."""
    path.write_bytes(content)
    signal.alarm(LIMIT_SECONDS)
    try:
        images, _ = Sampler(path, "cpu", threads=1).sample(2)
        assert images.shape == (2, 28, 28)
    except MnistSampleError:
        return "refused"
    finally:
        signal.alarm(0)
    return "picture"


def main(source: Path, count: int, scratch: Path) -> None:
    """Mutate the file `count` times: some stay with their old digest, most get a fitting one."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    good = source.read_bytes()
    outcomes: Counter[str] = Counter({draw(good, scratch): 1})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(count):
        random_ = random.Random(at)
        mutated = (mutate_bytes if at % 2 else mutate_structure)(good, random_)
        if at % 5:
            with contextlib.suppress(MnistSampleError):  # the mutation hit the digest's entry
                mutated = seal(mutated)
        outcomes[draw(mutated, scratch)] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({**outcomes, "grown_bytes": grown * 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
