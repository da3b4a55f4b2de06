"""Small ONNX generators that keep the contract, so that the sampler is tested without a trained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mnist_sample import contract
from mnist_sample.modelfile import seal

DIGITS = tuple("0123456789")


@dataclass
class Standin:
    """Builds a generator with random weights.

    Attributes:
        latent_dim: width of the latent input.
        classes: class names; none makes it unconditional.
        channels: feature maps at 7 x 7; 4 is small, 64 is the size of a real generator.
    """

    latent_dim: int = 8
    classes: tuple[str, ...] = DIGITS
    channels: int = 4
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def conv(self, x: str, into: int, out: int, name: str, random: np.random.Generator) -> str:
        weight = random.standard_normal((out, into, 3, 3)) * np.sqrt(2 / (9 * into))
        self.constant(f"{name}_w", weight.astype(np.float32))
        self.constant(f"{name}_b", np.zeros(out, np.float32))
        return self.node("Conv", [x, f"{name}_w", f"{name}_b"], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def graph(self) -> onnx.GraphProto:
        """Return the graph: dense to 7 x 7, convolutions, DepthToSpace twice."""
        random = np.random.default_rng(0)
        wide, half = self.channels, max(self.channels // 2, 4)
        features = wide * 49
        weight = random.standard_normal((self.latent_dim, features)) / np.sqrt(self.latent_dim)
        self.constant("dense_w", weight.astype(np.float32))
        self.constant("dense_b", np.zeros(features, np.float32))
        x = self.node("Gemm", ["latent", "dense_w", "dense_b"], "dense")
        if self.classes:
            table = random.standard_normal((len(self.classes), features)).astype(np.float32)
            x = self.node(
                "Add", [x, self.node("Gather", [self.constant("embed_w", table), "label"], "embed")], "sum"
            )
        x = self.node("Reshape", [x, self.constant("shape_7", np.array([-1, wide, 7, 7]))], "maps")
        x = self.node("Relu", [self.conv(x, wide, 4 * half, "conv_7", random)], "relu_7")
        x = self.node("DepthToSpace", [x], "maps_14", blocksize=2, mode="CRD")
        x = self.node("Relu", [self.conv(x, half, half, "conv_14", random)], "relu_14")
        x = self.node(
            "DepthToSpace", [self.conv(x, half, 4, "conv_28", random)], "maps_28", blocksize=2, mode="CRD"
        )
        x = self.node("Tanh", [x], contract.OUTPUT_SAMPLE)
        grey = self.constant("grey", np.array(127.5, np.float32))
        x = self.node("Add", [self.node("Mul", [x, grey], "scaled"), grey], "shifted")
        x = self.node("Round", [x], "rounded")
        x = self.node("Squeeze", [x, self.constant("axis", np.array([1]))], "flat")
        self.node("Cast", [x], contract.OUTPUT_IMAGE, to=TensorProto.UINT8)
        size = contract.IMAGE_SIZE
        value = helper.make_tensor_value_info
        inputs = [value("latent", TensorProto.FLOAT, ["batch", self.latent_dim])]
        if self.classes:
            inputs.append(value("label", TensorProto.INT64, ["batch"]))
        outputs = [
            value("image", TensorProto.UINT8, ["batch", size, size]),
            value("sample", TensorProto.FLOAT, ["batch", 1, size, size]),
        ]
        return helper.make_graph(self.nodes, "standin", inputs, outputs, self.constants)

    def metadata(self) -> dict[str, str]:
        """Return metadata as export writes it, still without a digest."""
        return {
            contract.KEY_CONTRACT: str(contract.CONTRACT_VERSION),
            contract.KEY_ARCHITECTURE: "standin",
            contract.KEY_LATENT_DIM: str(self.latent_dim),
            contract.KEY_CLASSES: json.dumps(self.classes),
            contract.KEY_TRAINING: json.dumps({"data": "none", "steps": 0, "seed": 0}),
            contract.KEY_CHECKPOINT_SHA256: "ab" * 32,
            contract.KEY_VERSIONS: json.dumps({"onnx": onnx.__version__}),
            contract.KEY_VERIFICATION: json.dumps({"max grey level difference": 0}),
            contract.KEY_EVALUATION: json.dumps({"FID": {"generated": 3.5, "real": 0.5}}),
            contract.KEY_FILE_SHA256: contract.DIGEST_PLACEHOLDER,
        }

    def model(self) -> onnx.ModelProto:
        """Return the model with its metadata, unsealed."""
        model = helper.make_model(
            self.graph(),
            opset_imports=[helper.make_opsetid("", contract.OPSET)],
            ir_version=contract.MAX_IR_VERSION,
        )
        helper.set_model_props(model, self.metadata())
        return model

    def save(self, path: Path, edit: Callable[[onnx.ModelProto], None] | None = None) -> Path:
        """Write the sealed file to `path`, changed by `edit` before it is sealed."""
        model = self.model()
        if edit:
            edit(model)
        path.write_bytes(seal(model.SerializeToString()))
        return path
