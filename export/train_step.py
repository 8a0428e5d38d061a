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

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.distilled_set import DistilledSet
from gsdd_runtime.errors import InputError
from gsdd_runtime.export.description import check_size, describe, normalization
from gsdd_runtime.export.graph import Graph
from gsdd_runtime.export.layers import Backward, Gradients, emit, linear
from gsdd_runtime.export.onnx import check_onnx_gaussians, finished_model, require_onnx, splat_node, tensor

if TYPE_CHECKING:
    import onnx

    from gsdd_runtime.networks import Network

# Prefixes of the values that a loop feeds back: `next.NAME` is what NAME is at the following step.
MOMENTUM = "momentum."
NEXT = "next."


def export_train_step(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    network: str = "convnet3",
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    normalize: bool = True,
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> Path:
    """Writes one training step of a fresh network on a set, whole or not at all. No augmentation is in the graph.

    Inputs: ``indices`` int64 ``[batch]``, at least one; ``learning_rate``, float32; each parameter of the network by
    its name in torch, and its momentum, ``momentum.NAME``, float32. All but the first have the values to start from in
    the file, and may be left out. Outputs: ``loss``, float32, the mean cross entropy with the set's labels before the
    step; ``accuracy``, of the batch; and each input of state as it is after the step, ``next.NAME``.

    Args:
        distilled_set: of Gaussians.
        out: the file.
        network: a ConvNet's name, as :func:`gsdd_runtime.networks.build` takes it.
        learning_rate: what the input of that name starts with.
        momentum, weight_decay: of SGD, as torch defines them.
        normalize: ``(image - mean) / std`` before the network.
        size: ``(height, width)`` of the images.
        seed: of the initial parameters.

    Raises:
        InputError: whatever the set, the network's name or a number cannot give; a file that cannot be written.
        GsddError: onnx or onnxscript is not installed.
    """
    onnx = require_onnx()
    model = train_step_model(
        distilled_set, network=network, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
        normalize=normalize, size=size, seed=seed,
    )  # fmt: skip
    target = Path(out)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        onnx.save_model(model, file)
    return target


def train_step_model(
    distilled_set: DistilledSet,
    *,
    network: str,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    normalize: bool,
    size: tuple[int, int] | None,
    seed: int,
) -> onnx.ModelProto:
    """The model that :func:`export_train_step` writes."""
    onnx = require_onnx()
    from gsdd_runtime.export.splat_function import splat_function
    from gsdd_runtime.networks import build

    for name, value in (("learning_rate", learning_rate), ("momentum", momentum), ("weight_decay", weight_decay)):
        if not 0 <= value < 1e3:
            raise InputError(f"{name} must be 0 or more and below 1000, got {value}")
    height, width = check_size(distilled_set, size)
    net = build(network, distilled_set.channels, distilled_set.classes, (height, width), seed=seed)
    graph = Graph()
    graph.initializers += [
        tensor("all_gaussians", check_onnx_gaussians(distilled_set)),
        tensor("all_labels", distilled_set.labels),
    ]
    images = _decode(graph, distilled_set, height, width, normalize)
    target = _targets(graph, distilled_set)
    logits, backward = _network(graph, net, images, (height, width))
    gradient = _cross_entropy(graph, logits, target)
    state = _sgd(graph, net, backward(gradient), momentum, weight_decay)
    graph.initializers.append(tensor("learning_rate", torch.tensor(learning_rate, dtype=torch.float32)))
    graph.initializers += [tensor(name, start) for name, start in state.items()]

    helper, types = onnx.helper, onnx.TensorProto
    scalars = [helper.make_tensor_value_info("learning_rate", types.FLOAT, [])]
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
            helper.make_tensor_value_info("images", types.FLOAT, ["batch", distilled_set.channels, height, width])
        ],
        doc_string="One step of training a network on a distilled set: feed every next.NAME back as NAME.",
    )
    options = {
        "network": network, "optimizer": "sgd", "learning_rate": learning_rate, "momentum": momentum,
        "weight_decay": weight_decay, "seed": seed,
    }  # fmt: skip
    description: dict[str, Any] = {**describe(distilled_set, normalize, height, width), "train_step": options}
    return finished_model(made, [splat_function()], description)


def _decode(graph: Graph, distilled_set: DistilledSet, height: int, width: int, normalize: bool) -> str:
    gaussians = graph.op("Gather", "all_gaussians", "indices", axis=0)
    graph.nodes.append(splat_node(gaussians, "images", distilled_set, height, width, require_onnx().TensorProto.FLOAT))
    normal = normalization(distilled_set, normalize)
    if normal is None:
        return "images"
    for name, value in normal.items():
        graph.initializers.append(tensor(name, value.view(1, -1, 1, 1)))
    return graph.op("Div", graph.op("Sub", "images", "mean"), "std")


def _targets(graph: Graph, distilled_set: DistilledSet) -> str:
    """The labels of the batch as probabilities, float32 ``[batch, classes]``."""
    labels = graph.op("Gather", "all_labels", "indices", axis=0)
    if distilled_set.labels.dim() == 2:
        return graph.op("Cast", labels, to=require_onnx().TensorProto.FLOAT)
    off_on = graph.fresh("off_on")
    graph.initializers.append(tensor(off_on, torch.tensor([0.0, 1.0])))
    return graph.op("OneHot", labels, graph.integers(distilled_set.classes), off_on, axis=-1)


def _network(graph: Graph, net: Network, x: str, size: tuple[int, int]) -> tuple[str, Any]:
    """Logits, and a function that writes the backward nodes and returns the gradients of all parameters."""
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

    def backward(grad: str) -> Gradients:
        flat_grad, gradients = last(grad, True)
        grad = graph.op("Reshape", flat_grad, graph.op("Shape", x))
        for position in reversed(range(len(steps))):
            grad, more = steps[position](grad, position > 0)
            gradients |= more
        return gradients

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


def _sgd(
    graph: Graph, net: Network, gradients: Gradients, momentum: float, weight_decay: float
) -> dict[str, torch.Tensor]:
    """Writes every ``next`` value; returns the state to start from by name."""
    state: dict[str, torch.Tensor] = {}
    for name, parameter in net.named_parameters():
        gradient = gradients[name]
        if weight_decay:
            gradient = graph.op("Add", gradient, graph.op("Mul", name, graph.number(weight_decay)))
        kept = graph.op("Mul", MOMENTUM + name, graph.number(momentum))
        velocity = graph.op("Add", kept, gradient, name=NEXT + MOMENTUM + name)
        graph.op("Sub", name, graph.op("Mul", velocity, "learning_rate"), name=NEXT + name)
        state[name] = parameter.detach()
        state[MOMENTUM + name] = torch.zeros_like(parameter)
    return state
