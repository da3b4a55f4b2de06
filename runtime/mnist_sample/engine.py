"""onnxruntime, as all rooms import it: so that it tells nobody what it runs, and where.

Since 1.31 its builds for Linux keep a record of each process and of the machine in ~/.cache, send it to their
makers, and warn on stderr where they cannot; unless a variable says otherwise when it is first imported.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # after the line above

__all__ = ["onnxruntime"]
