"""What an export can fail of: one class per check, so that callers and tests can tell them apart."""

from __future__ import annotations

from mnist_sample.errors import MnistSampleError


class ExportError(MnistSampleError):
    """The file was not written, or an existing file is not what it should be."""


class CheckpointRefusedError(ExportError):
    """The checkpoint is unreadable, damaged, or of an unknown format."""


class BatchStatisticsError(ExportError):
    """The generator, or an operator of the graph, depends on the statistics of its batch."""


class InvalidGraphError(ExportError):
    """`onnx.checker` or strict shape inference rejects the graph."""


class UnsupportedVersionError(ExportError):
    """The oldest supported onnxruntime does not run this opset or IR version."""


class ContractError(ExportError):
    """Names, types or shapes are not those of `mnist_sample.contract`."""


class BakedBatchError(ExportError):
    """A batch size is fixed somewhere in the graph."""


class ExternalDataError(ExportError):
    """A tensor lives outside the file."""


class OperatorError(ExportError):
    """An operator is not one that every supported provider implements."""


class MetadataError(ExportError):
    """A metadata entry is missing, malformed or untrue."""


class ValueMismatchError(ExportError):
    """The graph's `sample` differs from PyTorch's."""


class InexactConstantsError(ExportError):
    """Without float32's noise, the graph is further from PyTorch than the rounding of its constants."""


class GreyScaleError(ExportError):
    """`image` is not the rounded `sample`."""


class BatchMateError(ExportError):
    """A row's result depends on the rows beside it."""


class RepeatError(ExportError):
    """Two runs on the same input differ."""


class OptimisationLevelError(ExportError):
    """One of onnxruntime's graph optimisation levels changes the result."""


class ReferenceEvaluatorError(ExportError):
    """ONNX's own reference evaluator disagrees with PyTorch."""


class LeanError(ExportError):
    """The graph holds nodes or bytes that it does not need."""


class RebuildError(ExportError):
    """Building the graph again from the checkpoint gives another graph."""


class SamplerRefusedError(ExportError):
    """`mnist_sample` does not accept the file."""
