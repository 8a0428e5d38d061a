"""``torch.onnx.export`` of modules that call ``gsdd.splat``: our operators as ONNX nodes, and their functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.onnx import check_opset, our_nodes, require_onnx
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import SHAPE_PARAMETERS
from gsdd_runtime.splatting.native import load_torch_library

if TYPE_CHECKING:
    import onnx


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What ``torch.onnx.export(..., custom_translation_table=onnx_translations())`` needs to know of our operators.

    The exported model has a node for each call, which only the library runs; :func:`attach_functions` adds the
    functions by which every onnxruntime does.

    Raises:
        LibraryNotBuiltError: the native library, which the module calls, is not installed.
        GsddError: onnx or onnxscript is not installed.
    """
    require_onnx()
    load_torch_library()
    return {torch.ops.gsdd.splat.default: _splat, torch.ops.gsdd.splat_backward.default: _splat_backward}


def attach_functions(model: Any) -> None:
    """Adds the functions of our operators to a model that has nodes of them, in place; what it has already stays.

    Args:
        model: what ``torch.onnx.export`` returns, or an ``onnx.ModelProto``.

    Raises:
        InputError: a model without our operators, or of an opset that the functions are not written in.
        GsddError: onnx or onnxscript is not installed.
    """
    onnx = require_onnx()
    if isinstance(model, onnx.ModelProto):
        model.functions.extend(_missing_functions(model))
        return
    import onnx_ir

    for function in _missing_functions(model.model_proto):
        made: Any = onnx_ir.from_proto(function)
        model.model.functions[made.identifier()] = made


def _missing_functions(model: onnx.ModelProto) -> list[onnx.FunctionProto]:
    from gsdd_runtime.export.gradient_function import gradient_function
    from gsdd_runtime.export.splat_function import splat_function

    used = {node.op_type for node in our_nodes(model)}
    if not used:
        raise InputError(f"the model has no node of the domain {contract.DOMAIN}: there is no function to attach")
    there = {function.name for function in model.functions if function.domain == contract.DOMAIN}
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    check_opset(opset)
    functions = {contract.FORWARD: splat_function, contract.BACKWARD: gradient_function}
    return [functions[name](opset) for name in sorted(used - there)]


def _splat(
    gaussians: Any,
    height: int,
    width: int,
    native_height: int,
    native_width: int,
    supersample: int = 2,
    mean: Any = None,
    inverse_std: Any = None,
    dtype: int = -1,
    channels_last: bool = False,
) -> Any:
    """``torch.ops.gsdd.splat`` in ONNX. How pixels are laid out is not part of a value there."""
    import onnxscript

    op: Any = onnxscript.opset18
    types = require_onnx().TensorProto
    wanted = types.FLOAT if dtype == -1 else int(dtype)
    plain = mean is None and inverse_std is None
    images = _node(
        contract.FORWARD, wanted if plain else types.FLOAT, gaussians,
        height=height, width=width, native_height=native_height, native_width=native_width, supersample=supersample,
        dtype=wanted if plain else types.FLOAT,
    )  # fmt: skip
    if gaussians.shape is not None:
        batch, _, parameters = gaussians.shape
        images.shape = type(gaussians.shape)([batch, parameters - SHAPE_PARAMETERS, height, width])
    if plain:
        return images
    # As the kernel has it: normalised in float32, and rounded once.
    if mean is not None:
        images = op.Sub(images, op.Reshape(mean, [1, -1, 1, 1]))
    if inverse_std is not None:
        images = op.Mul(images, op.Reshape(inverse_std, [1, -1, 1, 1]))
    return op.Cast(images, to=wanted)


def _splat_backward(
    grad_images: Any, gaussians: Any, native_height: int, native_width: int, supersample: int = 2, scale: Any = None
) -> Any:
    import onnxscript

    op: Any = onnxscript.opset18
    # The node takes float32 alone.
    grad_images = op.Cast(grad_images, to=require_onnx().TensorProto.FLOAT)
    if scale is not None:
        grad_images = op.Mul(grad_images, op.Reshape(scale, [1, -1, 1, 1]))
    gradients = _node(
        contract.BACKWARD, require_onnx().TensorProto.FLOAT, grad_images, gaussians,
        native_height=native_height, native_width=native_width, supersample=supersample,
    )  # fmt: skip
    gradients.shape = gaussians.shape
    return gradients


def _node(name: str, output_type: int, *inputs: Any, **attributes: int) -> Any:
    """A node of our domain in the graph that is being exported, its output's type declared: older versions of
    onnxruntime derive none from an attribute."""
    import onnx_ir
    from onnxscript import values

    for attribute, value in attributes.items():
        if not isinstance(value, int):
            raise InputError(f"{contract.DOMAIN}::{name} is exported with fixed sizes alone: {attribute} is not")
    schema = require_onnx().defs.OpSchema
    stated = contract.read()
    declared = stated["ops"][name]
    kinds = dict.fromkeys(declared["attributes"], schema.AttrType.INT)
    kinds |= dict.fromkeys(stated["node_attributes"], schema.AttrType.STRING)
    floating = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"]
    described = schema(
        name,
        contract.DOMAIN,
        contract.VERSION,
        inputs=[schema.FormalParameter(value, f"T{value}") for value in declared["inputs"]],
        outputs=[schema.FormalParameter(value, "TOut") for value in declared["outputs"]],
        type_constraints=[(f"T{value}", floating, "") for value in declared["inputs"]] + [("TOut", floating, "")],
        attributes=[schema.Attribute(attribute, kind, "") for attribute, kind in kinds.items()],
    )
    operator = values.Op(values.Opset(contract.DOMAIN, contract.VERSION), name, described)
    output = operator(*inputs, **attributes, **stated["node_attributes"])
    output.type = onnx_ir.TensorType(onnx_ir.DataType(output_type))
    return output
