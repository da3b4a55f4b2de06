"""What surrounds the graph: versions, metadata, where tensors lie, and what does not belong in the file."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from mnist_sample import contract
from tests.export.mutants.edits import Edit, Mutant

OTHER_VALUES: dict[str, tuple[str, ...]] = {
    contract.KEY_CONTRACT: ("0", "2", "one", ""),
    contract.KEY_ARCHITECTURE: ("resnet", ""),
    contract.KEY_LATENT_DIM: ("63", "0", "-1", "many"),
    contract.KEY_CLASSES: ("[]", '["a", "b"]', "null", "{"),
    contract.KEY_TRAINING: ("{}", "[]", '{"data": "mnist"}'),
    contract.KEY_CHECKPOINT_SHA256: ("0" * 64, ""),
    contract.KEY_VERSIONS: ("{}", "[]", "?", '{"torch": 2}'),
    contract.KEY_VERIFICATION: (
        "{}",
        "[]",
        "?",
        '{"onnx-float64": 0.0}',
        '{"onnx-float64": NaN}',
        '{"onnx-float64": "small"}',
    ),
    contract.KEY_EVALUATION: ('{"frechet": 1}', "[]"),
}
"""Entries of the metadata and values that are not this checkpoint's."""


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield every change of what surrounds the graph."""
    for version in (1, 17, 23, 99):
        yield Mutant("an unsupported version", f"opset {version}", _set_opset(version))
    for version in (11, 13, 99):
        yield Mutant("an unsupported version", f"IR version {version}", _set_ir_version(version))
    yield Mutant("an unsupported version", "opset 19 beside it", lambda model: _add_domain(model, "", 19))
    yield Mutant("no version", "no opset", lambda model: model.ClearField("opset_import"))
    yield Mutant("no version", "no IR version", lambda model: model.ClearField("ir_version"))
    for key in contract.METADATA_KEYS:
        yield Mutant("metadata missing", f"no {key}", _drop_entry(key))
        yield Mutant("metadata twice", f"{key} twice", _repeat_entry(key))
    for key, values in OTHER_VALUES.items():
        for value in values:
            if _entry(model, key).value == value:
                continue
            yield Mutant("wrong metadata", f"{key} {value[:20] or 'empty'}", set_entry(key, value))
    yield Mutant("unknown metadata", "an entry more", _add_entry)
    for position, tensor in enumerate(model.graph.initializer):
        yield Mutant("external data", f"{tensor.name} in another file", _move_out(position))
        yield Mutant("a truncated tensor", f"{tensor.name} cut short", _cut(position))
    yield Mutant(
        "another domain", "com.microsoft declared", lambda model: _add_domain(model, "com.microsoft", 1)
    )
    yield Mutant("bytes too many", "20 kB of notes", _set_graph("doc_string", "x" * 20_000))
    yield Mutant("bytes too many", "a note", lambda model: setattr(model, "doc_string", "made in haste"))
    yield Mutant("bytes too many", "an unused constant", _add_constant)
    yield Mutant("bytes too many", "a constant twice", _repeat_constant)
    yield Mutant("a function", "a function of its own", _add_function)
    yield Mutant("a training graph", "a training graph", lambda model: model.training_info.add() and None)
    yield Mutant("no graph", "no nodes", lambda model: model.graph.ClearField("node"))
    yield Mutant("no graph", "nothing", lambda model: model.Clear())


def _set_opset(version: int) -> Edit:
    return lambda model: setattr(model.opset_import[0], "version", version)


def _set_ir_version(version: int) -> Edit:
    return lambda model: setattr(model, "ir_version", version)


def _set_graph(name: str, value: object) -> Edit:
    return lambda model: setattr(model.graph, name, value)


def _entry(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    found: onnx.StringStringEntryProto = next(entry for entry in model.metadata_props if entry.key == key)
    return found


def _drop_entry(key: str) -> Edit:
    return lambda model: model.metadata_props.remove(_entry(model, key))


def _repeat_entry(key: str) -> Edit:
    return lambda model: model.metadata_props.append(_entry(model, key))


def set_entry(key: str, value: str) -> Edit:
    """Return an edit that gives the metadata entry `key` another value."""
    return lambda model: setattr(_entry(model, key), "value", value)


def _add_entry(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="author", value="unknown")


def _move_out(position: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[position]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")

    return edit


def _cut(position: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[position]
        tensor.raw_data = tensor.raw_data[:-1]

    return edit


def _add_domain(model: onnx.ModelProto, domain: str, version: int) -> None:
    model.opset_import.append(helper.make_opsetid(domain, version))


def _add_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("unused", TensorProto.FLOAT, [2], [0.0, 1.0]))


def _repeat_constant(model: onnx.ModelProto) -> None:
    copy = model.graph.initializer.add()
    copy.CopyFrom(model.graph.initializer[0])
    copy.name = "copy"


def _add_function(model: onnx.ModelProto) -> None:
    body = [helper.make_node("Identity", ["x"], ["y"])]
    function = helper.make_function("own", "same", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    model.functions.append(function)
