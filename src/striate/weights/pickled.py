"""Pickles as data: an interpreter that imports nothing and calls nothing.

A pickle is a program for a small machine; Python's own reader calls whatever functions it names. This one keeps
numbers, texts and containers, turns the calls by which PyTorch rebuilds a tensor into records of that tensor, puts an
inert stand-in for objects of known data classes (`_INERT`), and refuses every other name. It is bounded in steps, and
containers that hold themselves or each other many times over cost nothing, since nothing is walked or hashed here.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import IO, Any, cast, final

from striate.core.errors import CheckpointError

MAX_STEPS = 1_500_000
"""A checkpoint of the largest network with its optimizer takes some hundred thousand."""

_INERT = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.(?:Pure)?(?:Posix|Windows)?Path"
    r"|pathlib\._local\.(?:Pure)?(?:Posix|Windows)?Path"
    r"|collections\.(?:OrderedDict|defaultdict|Counter|deque)|datetime\.\w+|decimal\.Decimal|fractions\.Fraction"
    r"|uuid\.UUID|_codecs\.encode|copyreg\._reconstructor"
    r"|builtins\.(?:set|frozenset|list|dict|tuple|slice|range|complex|bytearray|bytes|object|int|float|bool|str)"
    r"|numpy\.(?:dtype|ndarray|(?:core|_core)\.(?:multiarray\.(?:scalar|_reconstruct)|numeric\._frombuffer)"
    r"|dtypes\.\w+|random\.\w+(?:\.\w+)*|bool_|u?int\d+|float\d+)"
    r"|torch\.(?:device|Size|Generator|torch_version\.TorchVersion|\w*int\d+|b?float\d+|bool|half|double|float"
    r"|float\d\w+|per_\w+_affine\w*|serialization\._get_layout|optim\.[\w.]+)"
    r"|(?:omegaconf|easydict|addict|yacs|ml_collections|mmengine|mmcv|mmcls|mmpretrain|fvcore|pytorch_lightning"
    r"|lightning|lightning_fabric|lightning_utilities|timm|transformers|accelerate|torchmetrics)\.[\w.]+"
)
"""Names of data classes that training programs leave beside the weights. An `Inert` stands for their objects."""

_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


@final
@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names; it is not looked up.

    Args:
        text: Module and name, with a dot between.
    """

    text: str


@final
@dataclass(frozen=True, slots=True)
class Inert:
    """Stands for an object that has no meaning here.

    Args:
        kind: Name of its class.
    """

    kind: str


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """A storage: numbers in a row, somewhere in the file.

    Args:
        kind: PyTorch's name of the storage's class, such as ``FloatStorage``.
        key: Which of the file's.
        count: Numbers that it is said to hold.
    """

    kind: str
    key: str
    count: int


@final
@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor: a storage and how it is looked at.

    Args:
        stored: The storage; None for a tensor of a kind that no network's weights are of.
        offset: Of its first number in the storage.
        shape: Its sizes.
        strides: Its strides, in numbers.
        dtype: PyTorch's name of its type; empty means that of the storage.
        kind: Such as ``"a sparse tensor"``, where there is no storage.
    """

    stored: Stored | None
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dtype: str = ""
    kind: str = ""


_OTHER_TENSORS = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "meta",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_device_tensor_from_numpy": "device",
    "_rebuild_device_tensor_from_cpu_tensor": "device",
    "_rebuild_wrapper_subclass": "wrapped",
    "_rebuild_sparse_csr_tensor": "sparse",
}
_DTYPE = re.compile(r"torch\.(\w+)")
_MODULE = re.compile(r"torch\.nn\.|torchvision\.|fastai\.|ultralytics\.|models?\.|__main__\.|__torch__")


def interpret(stream: IO[bytes] | mmap, where: str) -> Any:
    """What the pickle at the stream's position holds; the stream then stands behind it.

    Args:
        stream: Of the file.
        where: Its name, for messages.

    Returns:
        Numbers, texts, lists, tuples and dicts of them, `StoredTensor`, `Inert`, and `Name` where a class stands alone.

    Raises:
        CheckpointError: It asks for something to be executed, or is too long.
        Exception: Whatever a damaged pickle makes of the machine; the caller's boundary takes it.
    """
    return _Machine(where).run(stream)


@final
class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes] | mmap) -> Any:
        for step, (code, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", stream))):
            if step >= MAX_STEPS:
                raise CheckpointError(
                    f"{self._where} is too long: its pickle has more than {MAX_STEPS:,} steps",
                    hint="save the tensors alone, best as .safetensors",
                )
            if code.name == "STOP":
                return self._stack.pop()
            if code.name in _CONSTANTS:
                self._stack.append(argument)
            else:
                _STEPS[code.name](self, argument)
        raise EOFError

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        place = self._marks.pop()
        found, self._stack[place:] = self._stack[place:], []
        return found

    # ------------------------------------------------------------------ containers

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def pop_mark(self, _: Any) -> None:
        self.marked()

    def dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def remember(self, place: int | None) -> None:
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def recall(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def short_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise IndexError("the stack is empty")
        self._stack[len(self._stack) - length :] = [tuple(self._stack[len(self._stack) - length :])]

    def append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self.marked())

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def set_items(self, _: Any) -> None:
        self._update(self.marked())

    def _update(self, pairs: list[Any]) -> None:
        if isinstance(self._stack[-1], dict):
            self._stack[-1].update(_pairs(pairs))

    # ------------------------------------------------------------------ names and what would be calls

    def named(self, text: str) -> None:
        module, _, name = text.partition(" ")
        module = _OLD_MODULES.get(module, module)
        self._stack.append(self._allowed(f"{module}.{name}"))

    def stack_named(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self.named(f"{module!s} {name!s}" if isinstance(name, str) and isinstance(module, str) else "? ?")

    def _allowed(self, text: str) -> Name:
        known = text.startswith("torch._utils._rebuild_") or text == "torch._tensor._rebuild_from_type_v2"
        known |= re.fullmatch(r"torch\.(?:cuda\.|storage\.)?\w*Storage", text) is not None
        known |= text in ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
        if known or _INERT.fullmatch(text):
            return Name(text)
        if _MODULE.match(text):
            raise CheckpointError(
                f"{self._where} holds objects of a program, not tensors alone: it asks for {text} to be executed, "
                "which is refused; nothing of it was run",
                hint="it may be a whole pickled model or an export of fastai (learn.export); where it was made, save "
                "the tensors alone: torch.save(model.state_dict(), FILE)",
            )
        raise CheckpointError(
            f"{self._where} asks for {text} to be executed, which is refused; nothing of it was run",
            hint="save the tensors alone, best as .safetensors",
        )

    def call(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(_called(function, arguments))

    def call_with_keywords(self, _: Any) -> None:
        self._stack.pop()
        self.call(None)

    def callmarked(self, _: Any) -> None:
        function, *arguments = self.marked()
        self._stack.append(_called(function, tuple(arguments)))

    def call_named(self, text: str) -> None:
        arguments = tuple(self.marked())
        self.named(text)
        self._stack.append(_called(self._stack.pop(), arguments))

    def build(self, _: Any) -> None:
        self._stack.pop()  # the state of what lies below: attributes, which mean nothing here

    def stored(self, _: Any) -> None:
        self._stack.append(_storage(self._stack.pop()))

    def extension(self, code: int) -> None:
        raise CheckpointError(f"{self._where} asks for extension {code} to be executed, which is refused")


def _storage(reference: Any) -> Stored | Inert:
    """What PyTorch leaves in a pickle for a storage: ``("storage", class, key, device, count[, part])``."""
    tag, kind, key, _, count, *part = reference
    if tag not in ("storage", b"storage") or not isinstance(kind, Name) or not isinstance(count, int):
        raise ValueError("a reference to something that is not a storage")
    if part and part[0] is not None:
        raise ValueError("a storage within a storage, as PyTorch wrote them before 2017")
    if not isinstance(key, str | int):
        raise TypeError("a storage without a name")
    return Stored(kind.text.rpartition(".")[2], str(key), count)


def _called(function: Any, arguments: Any) -> Any:
    """What stands for the result of a call: tensors and containers as data, everything else as `Inert`."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise TypeError("a call of something that is not a function")
    module, _, name = function.text.rpartition(".")
    if name in _OTHER_TENSORS:
        return StoredTensor(None, kind=f"a {_OTHER_TENSORS[name]} tensor")
    if name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        return _tensor(arguments, name)
    if name in ("_rebuild_parameter", "_rebuild_parameter_with_state", "Parameter", "Buffer", "Tensor"):
        return arguments[0] if arguments else Inert(function.text)
    if name == "_rebuild_from_type_v2":
        return _called(arguments[0], arguments[2])
    if module in ("collections", "builtins") and name in ("OrderedDict", "defaultdict", "dict", "Counter"):
        return _dict(arguments)
    if module == "torch._utils":
        return StoredTensor(None, kind=f"a tensor rebuilt by {name}")
    return Inert(function.text)


def _tensor(arguments: tuple[Any, ...], name: str) -> StoredTensor:
    stored, offset, shape, strides = arguments[:4]
    numbers = (offset, *shape, *strides)
    if not isinstance(stored, Stored) or not all(type(each) is int and each >= 0 for each in numbers):
        raise TypeError("a tensor of no storage, or of a negative size")
    dtype = ""
    if name == "_rebuild_tensor_v3":
        found = _DTYPE.fullmatch(arguments[6].text)
        dtype = found[1] if found else ""
    return StoredTensor(stored, offset, tuple(shape), tuple(strides), dtype)


def _dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """A new dict from the pairs that older pickles of an OrderedDict pass to its class."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return dict(_pairs([each for pair in pairs for each in pair]))


def _pairs(row: list[Any]) -> list[tuple[Any, Any]]:
    """Keys and values that take turns; other keys than plain ones are left out, as nested tuples hash for ever."""
    pairs = zip(row[::2], row[1::2], strict=True)
    return [(key, value) for key, value in pairs if isinstance(key, str | int | float | bytes | None)]


_CONSTANTS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"}
    | {"BINUNICODE8", "FLOAT", "BINFLOAT"}
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _m, _a: None,
    "FRAME": lambda _m, _a: None,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_SET": lambda m, _: m.push(Inert("builtins.set")),
    "ADDITEMS": _Machine.appends,
    "FROZENSET": lambda m, _: m.push(_called(Name("builtins.frozenset"), tuple(m.marked()))),
    "LIST": lambda m, _: m.push(m.marked()),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "DICT": lambda m, _: m.push(dict(_pairs(m.marked()))),
    "TUPLE1": lambda m, _: m.short_tuple(1),
    "TUPLE2": lambda m, _: m.short_tuple(2),
    "TUPLE3": lambda m, _: m.short_tuple(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _Machine.extension),
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.callmarked,
    "INST": _Machine.call_named,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.stored,
}
