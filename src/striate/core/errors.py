"""Every error Striate raises on purpose. Each says what, where, and (in `hint`) what to do next."""

from __future__ import annotations


class StriateError(Exception):
    """The root of all errors that Striate raises on purpose.

    Args:
        message: What went wrong and where, in one or two sentences.
        hint: What the reader can do about it; None when nothing sensible can be advised.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class DataError(StriateError):
    """The labelled images cannot be used as they are (empty folder, one class, missing column, ...)."""


class ImageError(DataError):
    """One image cannot be decoded, or is too large to decode safely."""


class CheckpointError(StriateError):
    """A file of weights is unreadable, executable, of another network, or not what the catalogue promises."""


class UnknownModelError(StriateError):
    """No network has the given name."""


class UnknownWeightsError(StriateError):
    """No catalogue entry, and no file, answers to the given weights."""


class WeightsNotFoundError(StriateError):
    """The weights exist in the catalogue, yet their file is not here and may not or cannot be fetched."""


class InputShapeError(StriateError):
    """An image or tensor has a shape that the network cannot take."""


class PlanError(StriateError):
    """A plan contradicts itself, or the folder it would write to holds the run of another plan."""


class StorageError(StriateError):
    """Something could not be written: no permission, no space, not a folder."""


class EngineError(StriateError):
    """An inference engine is missing, cannot run the network, or disagrees with the reference."""


class NonFiniteLossError(StriateError):
    """Training produced a loss that is not a number."""


class OutOfMemoryError(StriateError):
    """Not even the smallest group of images that training may take at a time fits into the memory."""


class WorkerError(StriateError):
    """A process that prepares images for training died."""


class MissingExtraError(StriateError):
    """An optional dependency is needed for what was asked."""
