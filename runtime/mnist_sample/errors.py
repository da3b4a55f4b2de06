"""Failures that a user can cause: one or two lines that name the cause and the remedy."""

from __future__ import annotations


class MnistSampleError(Exception):
    """The work failed: the message goes to stderr as it stands, without a traceback.

    Attributes:
        exit_code: what the command exits with; 1 for failed work, 2 for wrong usage.
    """

    exit_code: int = 1


class UsageError(MnistSampleError):
    """The request itself makes no sense, whatever the machine."""

    exit_code = 2


class ModelFileError(MnistSampleError):
    """A model file is missing, damaged, not ours, or beyond a stated bound."""


class DamagedFileError(ModelFileError):
    """The file is no model file, or has changed since it was exported."""


class ProviderError(MnistSampleError):
    """The execution provider that was asked for does not work here."""


class OutputError(MnistSampleError):
    """A result could not be written; what stood at the target stands there still."""
