"""Handwritten digits from one ONNX file, without PyTorch."""

from __future__ import annotations

__version__ = "0.1.0"
