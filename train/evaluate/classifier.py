"""`python -m train.evaluate.classifier`: makes the evaluation's own classifier anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnist_sample.errors import MnistSampleError, UsageError
from train.interruption import StoppedError, hold_ctrl_c, sigterm_as_ctrl_c
from train.stdout import tell_result


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate.classifier",
        description="Train the digit classifier that python -m train.evaluate measures with, on real MNIST.",
        epilog="example: python -m train.evaluate.classifier --data ../mnist --out .",
    )
    parser.add_argument("--data", default="auto", metavar="auto|mnist|DIR", help="where MNIST is")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over MNIST")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides everything random")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, metavar="DIR", help="folder to write into"
    )
    return parser.parse_args(arguments)


def check_options(options: argparse.Namespace) -> None:
    """Check what can be checked before PyTorch is imported.

    Raises:
        UsageError: an option is out of range.
    """
    if options.epochs is not None and options.epochs < 1:
        raise UsageError("--epochs must be 1 or more")
    if not 0 <= options.seed < 2**63:
        raise UsageError("--seed must be from 0 to 2**63 - 1")
    if not options.out.is_dir():
        raise UsageError(f"--out: there is no folder {options.out}")


def make(options: argparse.Namespace) -> str:
    """Make the classifier and return what to say of it."""
    with hold_ctrl_c():
        # Here, since torch takes seconds to import, and --help does without.
        from train.evaluate.features import CLASSIFIER_PATH
        from train.evaluate.fit import FitConfig
        from train.evaluate.make_classifier import make_classifier
        from train.evaluate.mnist import load_mnist
    digits = load_mnist(options.data)
    config = FitConfig(epochs=options.epochs) if options.epochs else FitConfig()
    reference = make_classifier(digits, config, options.seed, options.out)
    return (
        f"{options.out / CLASSIFIER_PATH.name}  sha256 {reference.classifier_sha256}\n"
        f"test digits read right: {reference.test_accuracy:.2%}\n"
        f"Frechet distance of the test digits to the training digits: {reference.test_distance:.3f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parse_arguments(arguments)
    try:
        check_options(options)
        with sigterm_as_ctrl_c():
            tell_result(make(options), "the classifier is written")
    except MnistSampleError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        stopped = StoppedError("stopped before the classifier was made", error)
        print(f"error: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except OSError as error:
        print(f"error: cannot write into {options.out}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
