"""Writing an ONNX graph node by node: names for values, constants, and nothing that knows what the graph is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from gsdd_runtime.export.onnx import PREFIX, require_onnx, tensor

if TYPE_CHECKING:
    import onnx


class Graph:
    """Nodes and constants in the order of their making. Values are their names.

    Args:
        prefix: of every fresh name. Graphs of one model, those inside a node included, want one each.
    """

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix
        self._helper = require_onnx().helper
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def fresh(self, hint: str) -> str:
        """A name that no other value has, nor one of another model."""
        self._count += 1
        return f"{self.prefix}{hint}_{self._count}"

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node of one output, called ``name`` or something fresh."""
        output = name if name is not None else self.fresh(kind.lower())
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Parts of a value, one after the other along an axis."""
        if len(sizes) == 1:
            return [value]
        outputs = [self.fresh("split") for _ in sizes]
        self.nodes.append(self._helper.make_node("Split", [value, self.integers(*sizes)], outputs, axis=axis))
        return outputs

    def integers(self, *values: int) -> str:
        """A constant int64 ``[len(values)]``, as shapes and axes are given."""
        return self._constant("integers", values, torch.tensor(values, dtype=torch.int64))

    def number(self, value: float) -> str:
        """A constant float32 scalar."""
        return self._constant("number", (value,), torch.tensor(value, dtype=torch.float32))

    def numbers(self, values: Sequence[float]) -> str:
        """A constant float32 ``[len(values)]``."""
        return self._constant("numbers", tuple(values), torch.tensor(values, dtype=torch.float32))

    def sum(self, value: str, axes: Sequence[int], *, keepdims: bool = False) -> str:
        return self.op("ReduceSum", value, self.integers(*axes), keepdims=int(keepdims))

    def mean(self, value: str, axes: Sequence[int]) -> str:
        return self.op("ReduceMean", value, self.integers(*axes), keepdims=1)

    def _constant(self, kind: str, values: tuple[Any, ...], content: torch.Tensor) -> str:
        key = (kind, *values)
        if key not in self._constants:
            self._constants[key] = self.fresh(kind)
            self.initializers.append(tensor(self._constants[key], content))
        return self._constants[key]
