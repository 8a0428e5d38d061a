"""ONNX models made ready for a TensorRT parser: our operators as plugins, the batch between limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.onnx import our_nodes, require_onnx
from gsdd_runtime.splatting import contract

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Profile:
    """The batch sizes that an engine takes, and the one that it is tuned for."""

    minimum: int
    optimum: int
    maximum: int

    @classmethod
    def checked(cls, minimum: int, optimum: int | None, maximum: int) -> Profile:
        optimum = maximum if optimum is None else optimum
        if not 1 <= minimum <= optimum <= maximum:
            raise InputError(
                f"batch sizes must be 1 <= min <= opt <= max, got min {minimum}, opt {optimum}, max {maximum}"
            )
        return cls(minimum, optimum, maximum)


def plugin_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model whose nodes of our operators can only become plugins.

    A parser takes a model's own function before a plugin of that name: that of TensorRT 10.1 always, later ones
    unless the node names the plugin's namespace. So the functions go, and the nodes name it.

    Raises:
        InputError: the model has no such node.
    """
    copy = type(model)()
    copy.CopyFrom(model)
    operators = contract.read()["ops"]
    kept = [f for f in copy.functions if not (f.domain == contract.DOMAIN and f.name in operators)]
    del copy.functions[:]
    copy.functions.extend(kept)
    nodes = our_nodes(copy)
    if not nodes:
        names = " or ".join(f"{contract.DOMAIN}::{name}" for name in operators)
        raise InputError(f"the model has no node {names}: export one by `gsdd-rt export --onnx`, without --inline")
    helper = require_onnx().helper
    for node in nodes:
        present = {attribute.name for attribute in node.attribute}
        wanted = contract.read()["node_attributes"]
        node.attribute.extend(helper.make_attribute(k, v) for k, v in wanted.items() if k not in present)
    return copy


def widen_parameters(model: onnx.ModelProto) -> None:
    """Makes the bfloat16 parameters that our operators draw float32, in place and bit for bit.

    For GPUs of compute capability 7.5: TensorRT has no bfloat16 there, and our kernel reads float32 as well.
    """
    from onnx import numpy_helper

    made_by = {name: node for node in model.graph.node for name in node.output}
    operators = {contract.FORWARD: 0, contract.BACKWARD: 1}
    drawn = {node.input[operators[node.op_type]] for node in our_nodes(model)}
    # Images are chosen by one Gather of the initialiser.
    names = drawn | {made_by[name].input[0] for name in drawn if name in made_by and made_by[name].op_type == "Gather"}
    types = require_onnx().TensorProto
    for tensor in model.graph.initializer:
        if tensor.name in names and tensor.data_type == types.BFLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
    for value in model.graph.value_info:
        if value.name in names and value.type.tensor_type.elem_type == types.BFLOAT16:
            value.type.tensor_type.elem_type = types.FLOAT


def input_shapes(model: onnx.ModelProto, profile: Profile) -> dict[str, dict[str, list[int]]]:
    """The smallest, the usual and the largest shape of each input with a dynamic batch.

    Raises:
        InputError: another dimension is dynamic.
    """
    initializers = {tensor.name for tensor in model.graph.initializer}
    shapes = {}
    for value in model.graph.input:
        if value.name in initializers:
            continue
        # A dimension without a value is dynamic.
        dims = [d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim]
        if -1 in dims[1:]:
            raise InputError(f"the input {value.name} of the model is dynamic beyond its batch: fix its other sizes")
        if dims and dims[0] == -1:
            batches = {"min": profile.minimum, "opt": profile.optimum, "max": profile.maximum}
            shapes[value.name] = {which: [batch, *dims[1:]] for which, batch in batches.items()}
    return shapes


def describe_plugin(node: onnx.NodeProto) -> dict[str, Any]:
    """What an engine's description says of one plugin in it."""
    helper = require_onnx().helper
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    declared = contract.read()["ops"][node.op_type]["attributes"]
    return {
        "name": node.op_type,
        "namespace": contract.DOMAIN,
        "version": str(contract.VERSION),
        "attributes": {name: attributes[name] for name in declared if name in attributes},
    }
