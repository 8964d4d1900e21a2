"""Exceptions of Striate. Each one says what is wrong and where, and `hint` says what to do next."""

from __future__ import annotations


class StriateError(Exception):
    """Base class of all exceptions of Striate.

    Args:
        message: What is wrong and where, in one or two sentences.
        hint: What to do next; None if there is no useful advice.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ArgumentError(StriateError, TypeError):
    """A function was called with a keyword that it does not take."""


class JobCancelled(StriateError):  # noqa: N818 - nothing went wrong
    """A job stopped because that was asked for. What it had saved is whole, and the same plan resumes it."""


class DataError(StriateError):
    """A dataset cannot be used: an empty folder, a single class, a missing column, and so on."""


class ImageError(DataError):
    """An image cannot be decoded, or is too large to decode safely."""


class ImageReadError(ImageError):
    """The bytes of an image cannot be read at this moment, or have changed. Nothing is known about the image itself."""


class CheckpointError(StriateError):
    """A weights file cannot be read, could run code, belongs to another network, or has the wrong checksum."""


class UnknownModelError(StriateError):
    """No network has the given name. The hint suggests similar names."""


class UnknownWeightsError(StriateError):
    """The given weights are neither an entry of the catalogue nor a file."""


class WeightsNotFoundError(StriateError):
    """The catalogue lists the weights, but the file is not available locally and was not downloaded."""


class InputShapeError(StriateError):
    """An image or a tensor has a shape that the network does not accept."""


class PlanError(StriateError):
    """A setting is invalid, settings contradict each other, or the output folder holds a run with other settings."""


class StorageError(StriateError):
    """A file or folder cannot be written: no permission, no space, or the path is not a folder."""


class EngineError(StriateError):
    """An inference engine is not installed, cannot run the network, or gives other outputs than eager PyTorch."""


class NonFiniteLossError(StriateError):
    """The training loss is NaN or infinite."""


class OutOfMemoryError(StriateError):
    """Memory is full: a file does not fit, or the smallest allowed micro-batch does not fit on the device."""


class WorkerError(StriateError):
    """A data loader worker process died."""


class MissingExtraError(StriateError):
    """The requested feature needs an optional dependency that is not installed."""
