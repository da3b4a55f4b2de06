"""The fields of an ONNX file that a model of ours may hold; numbers from onnx.proto.

Left out of `GRAPH`, so that the reader refuses them: subgraphs, sparse tensors, quantisation, device
placement and every data field of a tensor but `raw_data`.
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from typing import Final

from mnist_sample.protobuf import Field, Schema

FLOAT: Final = 1
UINT8: Final = 2
INT64: Final = 7

_ENTRY: Final[Schema] = {1: Field("key", "text"), 2: Field("value", "text")}
_OPSET: Final[Schema] = {1: Field("domain", "text"), 2: Field("version", "int")}
_DIM: Final[Schema] = {1: Field("value", "int"), 2: Field("param", "text"), 3: Field("denotation", "text")}
_SHAPE: Final[Schema] = {1: Field("dims", "message", many=True, schema=_DIM)}
_TENSOR_TYPE: Final[Schema] = {
    1: Field("elem_type", "int"),
    2: Field("shape", "message", schema=_SHAPE),
}
_TYPE: Final[Schema] = {
    1: Field("tensor", "message", schema=_TENSOR_TYPE),
    6: Field("denotation", "text"),
}
_METADATA: Final = Field("metadata", "message", many=True, schema=_ENTRY)
_VALUE: Final[Schema] = {
    1: Field("name", "text"),
    2: Field("type", "message", schema=_TYPE),
    3: Field("doc", "text"),
    4: _METADATA,
}
_TENSOR: Final[Schema] = {
    1: Field("dims", "int", many=True),
    2: Field("data_type", "int"),
    8: Field("name", "text"),
    9: Field("raw_data", "bytes"),
    12: Field("doc", "text"),
    13: Field("external", "bytes", many=True),
    14: Field("data_location", "int"),
    16: _METADATA,
}
_ATTRIBUTE: Final[Schema] = {
    1: Field("name", "text"),
    2: Field("f", "float"),
    3: Field("i", "int"),
    4: Field("s", "text"),
    8: Field("ints", "int", many=True),
    13: Field("doc", "text"),
    20: Field("type", "int"),
}
_NODE: Final[Schema] = {
    1: Field("inputs", "text", many=True),
    2: Field("outputs", "text", many=True),
    3: Field("name", "text"),
    4: Field("op", "text"),
    5: Field("attributes", "message", many=True, schema=_ATTRIBUTE),
    6: Field("doc", "text"),
    7: Field("domain", "text"),
    9: _METADATA,
}
GRAPH: Final[Schema] = {
    1: Field("nodes", "message", many=True, schema=_NODE),
    2: Field("name", "text"),
    5: Field("initializers", "message", many=True, schema=_TENSOR),
    10: Field("doc", "text"),
    11: Field("inputs", "message", many=True, schema=_VALUE),
    12: Field("outputs", "message", many=True, schema=_VALUE),
    13: Field("values", "message", many=True, schema=_VALUE),
    16: _METADATA,
}
ENVELOPE: Final[Schema] = {
    1: Field("ir_version", "int"),
    2: Field("producer", "text"),
    3: Field("producer_version", "text"),
    4: Field("domain", "text"),
    5: Field("version", "int"),
    6: Field("doc", "text"),
    7: Field("graph", "bytes"),
    8: Field("opsets", "message", many=True, schema=_OPSET),
    14: _METADATA,
    20: Field("training", "bytes", many=True),
    25: Field("functions", "bytes", many=True),
}
"""A whole file with its graph still undecoded, so that strangers are turned away by name first."""
