"""Class names: read from the annotations of a data set, and matched to those of a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from striate.core.errors import DataError
from striate.data.column import CategoryColumn
from striate.data.image_index import LABEL, ImageIndex
from striate.data.layout import natural

_SHOWN = 5


def class_column(index: ImageIndex) -> CategoryColumn:
    """The class names of a data set in order, and the class of each image.

    Raises:
        DataError: There is no label column, an image has no label, or class names differ only in case.
    """
    column = index.annotation(LABEL)
    if not isinstance(column, CategoryColumn):
        column = CategoryColumn.of(column, order=natural)
    if "" in column.values:
        missing = [index.names[int(i)] for i in np.flatnonzero(column.codes == column.values.index(""))]
        raise DataError(
            f"{index.source} has {len(missing)} images without a label: {listed(missing)}",
            hint="give them a label, or remove them",
        )
    refuse_likeness(column.values)
    return column


def refuse_likeness(classes: Iterable[str]) -> None:
    """Refuse classes whose names differ only in case, in spaces around them, or in how accents are encoded.

    Raises:
        DataError: Two do.
    """
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(" ".join(unicodedata.normalize("NFC", name).casefold().split()), name)
        if other != name:
            raise DataError(
                f"classes {other!r} and {name!r} differ only in case, spaces or accents",
                hint="give both the same name if they are one class, or distinct names if they are two",
            )


def match(found: Sequence[str], classes: Sequence[str], place: Callable[[str], int | None]) -> np.ndarray:
    """The output of a trained model that each class of a data set means, int64 ``[found]``.

    Args:
        found: The class names of the data.
        classes: Those of the model.
        place: From a class name to its output; None if the model does not know it.

    Raises:
        DataError: The model does not know a class, or two classes mean the same output.
    """
    places = {name: output_of(name, place) for name in found}
    unknown = [repr(name) for name, output in places.items() if output is None]
    if unknown:
        known = ", ".join(map(repr, classes[:_SHOWN])) + (", ..." if len(classes) > _SHOWN else "")
        raise DataError(
            f"the model does not know the class {listed(unknown)}", hint=f"rename the classes; it knows {known}"
        )
    if len(set(places.values())) < len(places):
        raise DataError("two classes of the data mean the same class of the model", hint="merge them")
    return np.array(list(places.values()), dtype=np.int64)


def output_of(name: str, place: Callable[[str], int | None]) -> int | None:
    """The output of a class, in whichever form of Unicode the model knows its name.

    Args:
        name: The class.
        place: From a class name to its output; None if the model does not know it.
    """
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return next((output for form in forms if (output := place(form)) is not None), None)


def numbers(index: ImageIndex, classes: Sequence[str], place: Callable[[str], int | None]) -> np.ndarray:
    """The output of a trained model that the class of each image means, int64 ``[n]``.

    Args:
        index: The images.
        classes: The class names of the model.
        place: From a class name to its output; None if the model does not know it.

    Raises:
        DataError: As `class_column` and `match`.
    """
    column = class_column(index)
    return match(column.values, classes, place)[column.codes]


def listed(names: Sequence[str], shown: int = _SHOWN) -> str:
    """The first `shown` of many names."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
