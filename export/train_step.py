"""A whole training step as one ONNX model: decode, forward, backward, and SGD with momentum.

The network's parameters and their momentum are inputs and outputs; what starts them is in the file, so that a first
run needs no more than ``indices``. Decoding happens inside the graph, at every step.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.description import check_gaussians, check_preparation, check_size, describe, written
from gsdd_runtime.export.graph import Graph
from gsdd_runtime.export.layers import Backward, Gradients, emit, linear
from gsdd_runtime.export.onnx import (
    OPSET,
    PREFIX,
    check_opset,
    check_payload,
    exported_bytes,
    finished_model,
    gradient_node,
    require_onnx,
    splat_node,
    tensor,
)
from gsdd_runtime.export.preparation import prepare, prepared_gradient
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting.gaussians import BOUNDARY_MARGIN, parameters_per_gaussian

if TYPE_CHECKING:
    import onnx

    from gsdd_runtime.networks import Network

# Prefixes of the values that a loop feeds back: `next.NAME` is what NAME is at the following step.
MOMENTUM = "momentum."
NEXT = "next."

_GAUSSIANS, _LABELS, _IMAGES = (PREFIX + name for name in ("gaussians", "labels", "images"))


def export_train_step(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    network: str | None = None,
    learning_rate: float | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    set_learning_rate: float | None = None,
    normalize: bool = True,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    opset: int = OPSET,
) -> Path:
    """Writes one training step of a fresh network on a set, whole or not at all. No augmentation is in the graph.

    Inputs: ``indices`` int64 ``[batch]``, at least one; ``learning_rate``, float32; each parameter of the network by
    its name in torch, and its momentum, ``momentum.NAME``, float32. All but the first have the values to start from in
    the file, and may be left out. Outputs: ``loss``, float32, the mean cross entropy with the set's labels before the
    step; ``accuracy``, of the batch; and each input of state as it is after the step, ``next.NAME``.

    Args:
        distilled_set: of Gaussians.
        out: the file.
        network: a ConvNet's name, as :func:`gsdd_runtime.networks.build` takes it; that of ``default_network`` for the
            size if None.
        learning_rate: what the input of that name starts with; the rate that was learned with the set, or 0.01, if
            None.
        momentum, weight_decay: of SGD, as torch defines them.
        set_learning_rate: given, the set is trained too, with this rate and the same momentum: its Gaussians are an
            input ``gaussians``, float32 ``[M, N, 6 + C]``, with their momentum. Each step renders their rounding to
            bfloat16, lets the gradient through it, and keeps the centres off the edge.
        normalize: the network gets ``(image - mean) / std``, or whitened images where the set has a ``zca``.
        size: ``(height, width)`` of the images.
        seed: of the initial parameters.
        opset: as of :func:`gsdd_runtime.export.onnx.export_onnx`.

    Raises:
        InputError: whatever the set, the network's name or a number cannot give; more than 2 GB of set, network, and
            their momentum; a file that cannot be written.
        GsddError: onnx or onnxscript is not installed.
    """
    onnx = require_onnx()
    model = train_step_model(
        distilled_set, network=network, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
        set_learning_rate=set_learning_rate, normalize=normalize, size=size, seed=seed, opset=opset,
    )  # fmt: skip
    target = Path(out)
    with written(target, distilled_set, model.ByteSize()) as temporary, open(temporary, "wb") as file:
        onnx.save_model(model, file)
    return target


def train_step_model(
    distilled_set: DistilledSet,
    *,
    network: str | None,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float,
    set_learning_rate: float | None,
    normalize: bool,
    size: tuple[int, int] | None,
    seed: int,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """The model that :func:`export_train_step` writes."""
    onnx = require_onnx()
    from gsdd_runtime.export.gradient_function import gradient_function
    from gsdd_runtime.export.splat_function import splat_function
    from gsdd_runtime.networks import build, chosen
    from gsdd_runtime.training.recipe import RECIPES, learned_rate

    height, width = check_size(distilled_set, size)
    if learning_rate is None:
        learned = learned_rate(distilled_set.training)
        learning_rate = RECIPES["dm"].learning_rate if learned is None else learned
    rates = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    train_set = set_learning_rate is not None
    if set_learning_rate is not None:
        rates["set_learning_rate"] = set_learning_rate
    for name, value in rates.items():
        if not 0 <= value < 1e3:
            raise InputError(f"{name} must be 0 or more and below 1000, got {value}")
    check_opset(opset)
    network = chosen(network, (height, width))
    net = build(network, distilled_set.channels, distilled_set.classes, (height, width), seed=seed)
    check_payload(_payload(distilled_set, net, train_set, normalize), "the training step")
    graph = Graph()
    set_gaussians = check_gaussians(distilled_set)
    graph.initializers.append(tensor(_LABELS, distilled_set.labels))
    if not train_set:
        graph.initializers.append(tensor(_GAUSSIANS, set_gaussians))
    drawn = _gaussians(graph, train_set)
    preparation = check_preparation(distilled_set, normalize, height, width)
    images = _render(graph, drawn, distilled_set, height, width, preparation)
    target = _targets(graph, distilled_set)
    logits, backward = _network(graph, net, images, (height, width))
    image_gradient, gradients = backward(_cross_entropy(graph, logits, target), train_set)
    state: dict[str, torch.Tensor] = {}
    for name, parameter in net.named_parameters():
        _sgd(graph, name, gradients[name], momentum, weight_decay, "learning_rate", NEXT + name)
        state |= {name: parameter.detach(), MOMENTUM + name: torch.zeros_like(parameter)}
    if train_set:
        gradient = _set_gradient(graph, distilled_set, drawn, image_gradient, preparation)
        moved = _sgd(graph, "gaussians", gradient, momentum, 0.0, "set_learning_rate", graph.fresh("moved"))
        _keep_inside(graph, moved, distilled_set.channels, NEXT + "gaussians")
        state |= {"gaussians": set_gaussians.float(), MOMENTUM + "gaussians": torch.zeros(set_gaussians.shape)}
    inputs = [name for name in rates if name.endswith("learning_rate")]
    graph.initializers += [tensor(name, torch.tensor(rates[name], dtype=torch.float32)) for name in inputs]
    graph.initializers += [tensor(name, start) for name, start in state.items()]

    helper, types = onnx.helper, onnx.TensorProto
    scalars = [helper.make_tensor_value_info(name, types.FLOAT, []) for name in inputs]
    fed = [helper.make_tensor_value_info(name, types.FLOAT, list(start.shape)) for name, start in state.items()]
    given = [helper.make_tensor_value_info(name, types.FLOAT, []) for name in ("loss", "accuracy")]
    given += [
        helper.make_tensor_value_info(NEXT + name, types.FLOAT, list(start.shape)) for name, start in state.items()
    ]
    made = helper.make_graph(
        graph.nodes,
        "gsdd_train_step",
        [helper.make_tensor_value_info("indices", types.INT64, ["batch"]), *scalars, *fed],
        given,
        initializer=graph.initializers,
        value_info=[
            helper.make_tensor_value_info(_IMAGES, types.FLOAT, ["batch", distilled_set.channels, height, width])
        ],
        doc_string="One step of training a network on a distilled set: feed every next.NAME back as NAME.",
    )
    options = {"network": network, "optimizer": "sgd", "seed": seed, **rates}
    description: dict[str, Any] = {**describe(distilled_set, normalize, height, width), "train_step": options}
    functions = [splat_function(opset)] + ([gradient_function(opset)] if train_set else [])
    return finished_model(made, functions, description, opset)


def _payload(distilled_set: DistilledSet, net: Network, train_set: bool, normalize: bool) -> int:
    """Bytes of all tensors in the file: of what is trained, float32 values and as many of momentum."""
    trained = sum(parameter.numel() for parameter in net.parameters())
    kept = exported_bytes(distilled_set, normalize)
    if train_set and distilled_set.gaussians is not None:
        trained += distilled_set.gaussians.numel()
        kept -= distilled_set.gaussians.nbytes
    return kept + 2 * 4 * trained


def _gaussians(graph: Graph, train_set: bool) -> str:
    """The batch's Gaussians in bfloat16; masters that are trained are rounded to it."""
    gaussians = graph.op("Gather", "gaussians" if train_set else _GAUSSIANS, "indices", axis=0)
    return graph.op("Cast", gaussians, to=require_onnx().TensorProto.BFLOAT16) if train_set else gaussians


def _render(
    graph: Graph, gaussians: str, distilled_set: DistilledSet, height: int, width: int, preparation: Preparation | None
) -> str:
    graph.nodes.append(splat_node(gaussians, _IMAGES, distilled_set, height, width, require_onnx().TensorProto.FLOAT))
    return _IMAGES if preparation is None else prepare(graph, _IMAGES, preparation)


def _set_gradient(
    graph: Graph, distilled_set: DistilledSet, gaussians: str, image_gradient: str, preparation: Preparation | None
) -> str:
    """The gradient of all Gaussians of the set, ``[M, N, 6 + C]``, from that of the network's input."""
    if preparation is not None:
        image_gradient = prepared_gradient(graph, image_gradient, preparation)
    of_batch = graph.fresh("grad_gaussians")
    graph.nodes.append(gradient_node(image_gradient, gaussians, of_batch, distilled_set))
    # An index may come twice in a batch. A product with one row for each index adds them up, in one order;
    # onnxruntime's ScatterND adds in parallel, and not atomically.
    count = len(distilled_set)
    off_on = graph.fresh("off_on")
    graph.initializers.append(tensor(off_on, torch.tensor([0.0, 1.0])))
    chosen = graph.op("OneHot", "indices", graph.integers(count), off_on, axis=-1)
    rows = graph.op("Reshape", of_batch, graph.integers(0, -1))
    added = graph.op("MatMul", graph.op("Transpose", chosen, perm=[1, 0]), rows)
    return graph.op("Reshape", added, graph.op("Shape", "gaussians"))


def _keep_inside(graph: Graph, gaussians: str, channels: int, output: str) -> None:
    """The boundary rule of training: centres at most ``1 - BOUNDARY_MARGIN`` from the middle."""
    last = graph.integers(-1)
    centers = graph.op("Slice", gaussians, graph.integers(0), graph.integers(2), last)
    rest = graph.op("Slice", gaussians, graph.integers(2), graph.integers(parameters_per_gaussian(channels)), last)
    edge = 1.0 - BOUNDARY_MARGIN
    graph.op("Concat", graph.op("Clip", centers, graph.number(-edge), graph.number(edge)), rest, axis=-1, name=output)


def _targets(graph: Graph, distilled_set: DistilledSet) -> str:
    """The labels of the batch as probabilities, float32 ``[batch, classes]``."""
    labels = graph.op("Gather", _LABELS, "indices", axis=0)
    if distilled_set.labels.dim() == 2:
        return graph.op("Cast", labels, to=require_onnx().TensorProto.FLOAT)
    off_on = graph.fresh("off_on")
    graph.initializers.append(tensor(off_on, torch.tensor([0.0, 1.0])))
    return graph.op("OneHot", labels, graph.integers(distilled_set.classes), off_on, axis=-1)


def _network(graph: Graph, net: Network, x: str, size: tuple[int, int]) -> tuple[str, Any]:
    """Logits, and a function that writes the backward nodes: from the gradient of the logits to that of ``x``, if that
    is wanted, and those of all parameters."""
    if not isinstance(net.features, nn.Sequential):
        raise InputError(f"a training step cannot be made of {type(net.features).__name__}: choose a ConvNet")
    steps: list[Backward] = []
    for name, layer in net.features.named_children():
        x, step = emit(graph, layer, f"features.{name}", x, size)
        steps.append(step)
        if isinstance(layer, nn.Conv2d):
            size = tuple(side + 2 * int(layer.padding[0]) - layer.kernel_size[0] + 1 for side in size)  # type: ignore[assignment]
        elif isinstance(layer, nn.AvgPool2d):
            size = (size[0] // 2, size[1] // 2)
    flat = graph.op("Flatten", x, axis=1)
    logits, last = linear(graph, "classifier", flat)

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        flat_grad, gradients = last(grad, True)
        grad = graph.op("Reshape", flat_grad, graph.op("Shape", x))
        for position in reversed(range(len(steps))):
            grad, more = steps[position](grad, wanted or position > 0)
            gradients |= more
        return grad, gradients

    return logits, backward


def _cross_entropy(graph: Graph, logits: str, target: str) -> str:
    """Writes ``loss`` and ``accuracy``; returns the gradient of the loss with respect to the logits."""
    log_probability = graph.op("LogSoftmax", logits, axis=-1)
    per_image = graph.sum(graph.op("Mul", log_probability, target), (1,))
    graph.op("Neg", graph.op("ReduceMean", per_image, keepdims=0), name="loss")
    guess, truth = (graph.op("ArgMax", value, axis=-1, keepdims=0) for value in (logits, target))
    float_type = require_onnx().TensorProto.FLOAT
    right = graph.op("Cast", graph.op("Equal", guess, truth), to=float_type)
    graph.op("ReduceMean", right, name="accuracy", keepdims=0)
    # Targets sum to one each: they are labels, or a distribution over the classes.
    weight = graph.sum(target, (1,), keepdims=True)
    surplus = graph.op("Sub", graph.op("Mul", graph.op("Exp", log_probability), weight), target)
    batch = graph.op("Cast", graph.op("Size", "indices"), to=float_type)
    return graph.op("Div", surplus, batch)


def _sgd(graph: Graph, name: str, gradient: str, momentum: float, weight_decay: float, rate: str, output: str) -> str:
    """SGD with momentum as torch has it, on the value ``name``; returns ``output``."""
    if weight_decay:
        gradient = graph.op("Add", gradient, graph.op("Mul", name, graph.number(weight_decay)))
    kept = graph.op("Mul", MOMENTUM + name, graph.number(momentum))
    velocity = graph.op("Add", kept, gradient, name=NEXT + MOMENTUM + name)
    return graph.op("Sub", name, graph.op("Mul", velocity, rate), name=output)
