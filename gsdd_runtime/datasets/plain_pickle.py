"""Pickled files as data: arrays of numbers, lists, dictionaries, text, bytes and numbers, and nothing else.

``pickle`` calls whatever a file names. This reader calls nothing: it walks the opcodes (``pickletools.genops``), builds
the few kinds of value itself, and refuses every other opcode, and every name that is not one of an array's parts.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.wording import bytes_in_words

# A batch of CIFAR is 31 MB, the training part of CIFAR-100 is 150 MB; pickled as text they take half as much again.
MAX_FILE_BYTES = 1 << 29
# Python objects that a file may make: those of CIFAR-100 are 350,000.
MAX_OBJECTS = 1 << 22

_ARRAY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_NUMBERS = re.compile(r"[|<>=]?[buif][1248]")
_MAX_DIMENSIONS = 8
_PUSHED = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
_REMEDY = "fetch the file again"


def read_plain_pickle(path: str | os.PathLike[str]) -> Any:
    """The value in a pickled file; see :func:`plain_value`.

    Raises:
        InputError: it cannot be read, is larger than ``MAX_FILE_BYTES``, or as ``plain_value``.
    """
    path = Path(path)
    with reading(path), open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    return plain_value(content, str(path))


def plain_value(content: bytes, where: str) -> Any:
    """What the bytes of a pickle stand for, of whatever protocol. Text of Python 2 comes as ``str``, as Latin-1.

    Args:
        content: the pickle.
        where: what it is, for messages.

    Raises:
        InputError: it holds anything but arrays of numbers, lists, tuples, dictionaries, text, bytes, numbers, booleans
            and None; it is damaged, or too large.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{where} is more than {bytes_in_words(MAX_FILE_BYTES)}: is it the file its name says?")
    machine = _Machine(where)
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except InputError:
        raise
    # What the opcodes of a damaged file lead to: a stack that is empty, a key that is a list, text that is no text.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{where} is a damaged pickle ({' '.join(str(error).split())[:200]}): {_REMEDY}") from error
    raise InputError(f"{where} ends early: {_REMEDY}")


@dataclass(frozen=True)
class _Name:
    """One of the names that are admitted; it is never looked up."""

    kind: str


class _Dtype:
    """``numpy.dtype`` of a number, as a pickle builds it: a code, then a state with the order of bytes."""

    def __init__(self, code: str) -> None:
        self.code = code

    def take(self, state: Any) -> None:
        order = state[1]
        if order not in ("|", "<", ">", "=") or any(part is not None for part in state[2:5]):
            raise ValueError("a dtype of no plain numbers")
        self.code = order + self.code.lstrip("|<>=")


class _Array:
    """An array as a pickle builds it: empty, then a state with shape, dtype and bytes."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def take(self, content: bytes | bytearray, dtype: Any, shape: Any, order: str) -> None:
        if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, _Dtype):
            raise ValueError(f"an array of {type(content).__name__}")
        if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
            raise ValueError("an array without a shape")
        if not all(type(side) is int and 0 <= side <= MAX_FILE_BYTES for side in shape):
            raise ValueError("an array with a side out of range")
        kind = np.dtype(dtype.code)
        if math.prod(shape) * kind.itemsize != len(content):
            raise ValueError(f"{len(content)} bytes for an array of {'x'.join(map(str, shape))} and {kind}")
        self.value = np.frombuffer(content, kind).reshape(shape, order="F" if order == "F" else "C")


class _Machine:
    """A stack of values and marks, as the opcodes of a pickle use one."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._objects = 0
        self._encoded = 0

    def result(self) -> Any:
        (value,) = self._stack
        return self._finished(value, 0)

    def step(self, name: str, argument: Any) -> None:
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            raise InputError(f"{self._where} holds more than {MAX_OBJECTS} objects: is it the file its name says?")
        if name in _PUSHED:
            self._stack.append(argument)
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise self._refused(f"the opcode {name}")

    def _refused(self, what: str) -> InputError:
        return InputError(
            f"{self._where} holds {what}, which is no plain data and may be a program: nothing of it was run; "
            f"{_REMEDY}, from its official place"
        )

    def _finished(self, value: Any, depth: int) -> Any:
        """``value`` with its arrays in place, as deep as a batch's dictionary goes."""
        if isinstance(value, _Array):
            if value.value is None:
                raise ValueError("an array without a value")
            return value.value
        if isinstance(value, (_Name, _Dtype)):
            raise self._refused("a name as a value")
        if depth < 2 and isinstance(value, dict):
            return {self._finished(key, depth + 1): self._finished(one, depth + 1) for key, one in value.items()}
        return value

    def _since_mark(self) -> list[Any]:
        at = self._marks.pop()
        values = self._stack[at:]
        del self._stack[at:]
        return values

    def _remember(self, key: int | None) -> None:
        self._memo[len(self._memo) if key is None else key] = self._stack[-1]

    def _tuple(self, count: int) -> None:
        values = tuple(self._stack[len(self._stack) - count :]) if count else ()
        if len(values) < count:
            raise IndexError("the stack is empty")
        del self._stack[len(self._stack) - count :]
        self._stack.append(values)

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ValueError(f"appends to {type(target).__name__}")
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(values) % 2:
            raise ValueError(f"sets items of {type(target).__name__}")
        # Nothing else is a key of plain data, and hashing nested tuples can take for ever.
        if not all(isinstance(key, (str, bytes, int)) for key in values[::2]):
            raise ValueError("a key that is neither text nor a number")
        target.update(zip(values[::2], values[1::2], strict=True))

    def _name(self, module: Any, name: Any) -> None:
        kind = {
            "_reconstruct": "array" if module in _ARRAY_MODULES[1:] else None,
            "_frombuffer": "buffer" if module in _BUFFER_MODULES else None,
            "ndarray": "ndarray" if module == "numpy" else None,
            "dtype": "dtype" if module == "numpy" else None,
            "encode": "encode" if module == "_codecs" else None,
            # Python 3 writes no bytes at all, b"", as a call in the form of Python 2.
            "bytes": "bytes" if module in ("__builtin__", "builtins") else None,
        }.get(name if isinstance(name, str) else "")
        if kind is None:
            shown = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "of no text"
            raise self._refused(f"the name {shown[:120]!a}")
        self._stack.append(_Name(kind))

    def _latin(self, text: Any) -> Any:
        """Text as the bytes it was made from; a file may ask for the same again and again."""
        if not isinstance(text, str):
            return text
        self._encoded += len(text)
        if self._encoded > MAX_FILE_BYTES:
            raise InputError(f"{self._where} unpacks to more than {bytes_in_words(MAX_FILE_BYTES)}: {_REMEDY}")
        return text.encode("latin-1")

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise ValueError(f"calls {type(function).__name__}")
        if function.kind == "array" and arguments[0] == _Name("ndarray"):
            self._stack.append(_Array())
        elif function.kind == "dtype" and isinstance(arguments[0], str):
            if not _NUMBERS.fullmatch(arguments[0]):
                raise self._refused(f"an array of the type {arguments[0][:40]!a}")
            self._stack.append(_Dtype(arguments[0]))
        elif function.kind == "encode" and arguments[1] in ("latin1", "latin-1"):
            self._stack.append(self._latin(arguments[0]))
        elif function.kind == "bytes" and not arguments:
            self._stack.append(b"")
        elif function.kind == "buffer":
            array = _Array()
            array.take(*arguments)
            self._stack.append(array)
        else:
            raise self._refused(f"a call of {function.kind}")

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, _Array):
            _, shape, dtype, by_columns, content = state
            target.take(self._latin(content), dtype, shape, "F" if by_columns else "C")
        elif isinstance(target, _Dtype) and isinstance(state, tuple):
            target.take(state)
        else:
            raise ValueError(f"sets the state of {type(target).__name__}")


def _ignore(machine: _Machine, argument: Any) -> None:
    pass


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _ignore,
    "FRAME": _ignore,
    "MARK": lambda machine, _: machine._marks.append(len(machine._stack)),
    "NONE": lambda machine, _: machine._stack.append(None),
    "NEWTRUE": lambda machine, _: machine._stack.append(True),
    "NEWFALSE": lambda machine, _: machine._stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine._tuple(0),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._since_mark())),
    "LIST": lambda machine, _: machine._stack.append(machine._since_mark()),
    "DICT": lambda machine, _: _pairs(machine),
    "APPEND": lambda machine, _: machine._append([machine._stack.pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "SETITEM": lambda machine, _: machine._set([machine._stack.pop(-2), machine._stack.pop()]),
    "SETITEMS": lambda machine, _: machine._set(machine._since_mark()),
    "PUT": lambda machine, key: machine._remember(key),
    "BINPUT": lambda machine, key: machine._remember(key),
    "LONG_BINPUT": lambda machine, key: machine._remember(key),
    "MEMOIZE": lambda machine, _: machine._remember(None),
    "GET": lambda machine, key: machine._stack.append(machine._memo[key]),
    "BINGET": lambda machine, key: machine._stack.append(machine._memo[key]),
    "LONG_BINGET": lambda machine, key: machine._stack.append(machine._memo[key]),
    "GLOBAL": lambda machine, names: machine._name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine._name(machine._stack.pop(-2), machine._stack.pop()),
    "REDUCE": lambda machine, _: machine._reduce(),
    "BUILD": lambda machine, _: machine._build(),
}


def _pairs(machine: _Machine) -> None:
    values = machine._since_mark()
    machine._stack.append({})
    machine._set(values)
