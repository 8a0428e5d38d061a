"""A decoder and a classifier that ``torch.onnx.export`` wrote by default, merged by onnx into one model."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from awkward import ordinary
from torch import Tensor, nn

from gsdd_runtime import DistilledSet, networks, reference

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx_models import library_ways, session  # noqa: E402

from gsdd_runtime.commands.cli import run  # noqa: E402
from gsdd_runtime.export.onnx import IR_VERSION, OPSET, OPSETS, PREFIX, decoder_model  # noqa: E402
from gsdd_runtime.export.train_step import train_step_model  # noqa: E402

SIDE = 16


def make_set() -> DistilledSet:
    gaussians = ordinary(6, 8, 3, SIDE, 80).bfloat16()
    return DistilledSet(gaussians, torch.arange(6) % 4, SIDE, SIDE, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])


class Classifier(nn.Module):
    """With a mean over pixels, whose value torch calls ``mean``, as it does in every residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = networks.build("convnet2-w8", 3, 4, (SIDE, SIDE), seed=1).features
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def exported(classifier: nn.Module, **options: Any) -> onnx.ModelProto:
    """As ``torch.onnx.export`` writes it where it is told nothing but that the batch varies."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            shapes = ({0: torch.export.Dim("batch")},)
            example = (torch.zeros(2, 3, SIDE, SIDE),)
            program = torch.onnx.export(classifier, example, dynamic_shapes=shapes, verbose=False, **options)
        finally:
            logging.disable(logging.NOTSET)
    assert program is not None
    program.save(written)
    return onnx.load_from_string(written.getvalue())


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier().eval()


@pytest.fixture(scope="module")
def classifier_model(classifier: Classifier) -> onnx.ModelProto:
    return exported(classifier)


def merged(decoder: onnx.ModelProto, classifier: onnx.ModelProto) -> onnx.ModelProto:
    joint = [("images", classifier.graph.input[0].name)]
    return onnx.compose.merge_models(decoder, classifier, io_map=joint)


@pytest.mark.parametrize("library", library_ways())
def test_a_decoder_merges_with_a_classifier_of_torch(
    classifier: Classifier, classifier_model: onnx.ModelProto, library: bool
) -> None:
    distilled = make_set()
    both = merged(decoder_model(distilled, normalize=True), classifier_model)
    indices = torch.tensor([5, 0, 2])
    labels, logits = session(both, library=library).run(None, {"indices": indices.numpy()})
    images = reference.splat(distilled.gaussians[indices].float(), SIDE, SIDE)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (distilled.mean, distilled.std))
    with torch.no_grad():
        expected = classifier((images - mean) / std)
    torch.testing.assert_close(torch.from_numpy(logits), expected, atol=2e-3, rtol=0)
    assert labels.tolist() == distilled.labels[indices].tolist()


def test_the_versions_are_those_that_torch_writes(classifier_model: onnx.ModelProto) -> None:
    assert classifier_model.ir_version == IR_VERSION
    assert [(o.domain, o.version) for o in classifier_model.opset_import] == [("", OPSET)]


def test_an_asked_opset_merges_with_a_classifier_of_it(
    classifier: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.safetensors"
    make_set().save(path)
    assert run(["export", str(path), "--onnx", "--opset", "18"]) == 0
    both = merged(onnx.load(tmp_path / "set.onnx"), exported(classifier, opset_version=18))
    assert session(both, library=False).run(None, {"indices": np.array([0, 3])})[1].shape == (2, 4)
    for step in (False, True):
        target = ["--onnx-train-step", "--network", "convnet1-w4"] if step else ["--onnx"]
        assert run(["export", str(path), *target, "--opset", "17"]) == 2
        assert f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got 17" in capsys.readouterr().err


def step_model(**options: Any) -> onnx.ModelProto:
    given = {
        "network": "convnet1-w4", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
        "set_learning_rate": None, "normalize": True, "size": None, "seed": 0, **options,
    }  # fmt: skip
    return train_step_model(make_set(), **given)


MODELS: dict[str, Callable[..., onnx.ModelProto]] = {
    "decoder": lambda **options: decoder_model(make_set(), **options),
    "normalizing-decoder": lambda **options: decoder_model(make_set(), normalize=True, **options),
    "training-step": step_model,
    "set-training-step": lambda **options: step_model(set_learning_rate=0.1, **options),
}


@pytest.mark.parametrize("model", MODELS)
def test_every_inner_name_is_prefixed(model: str) -> None:
    graph = MODELS[model]().graph
    public = {value.name for value in (*graph.input, *graph.output)}
    inner = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    inner |= {node.name for node in graph.node if node.name} | {value.name for value in graph.value_info}
    assert not {name for name in inner - public if not name.startswith(PREFIX)}


@pytest.mark.parametrize(
    ("model", "opset"),
    [*(("normalizing-decoder", opset) for opset in OPSETS), *(("set-training-step", OPSETS[end]) for end in (0, -1))],
)
def test_every_opset_runs_and_gives_the_same(model: str, opset: int) -> None:
    made = MODELS[model](opset=opset)
    assert {imported.version for imported in made.opset_import if imported.domain == ""} == {opset}
    assert {imported.version for function in made.functions for imported in function.opset_import} == {opset}
    fed = {"indices": np.array([1, 4, 4])}
    outputs, expected = (session(m, library=False).run(None, fed)[0] for m in (made, MODELS[model]()))
    assert (outputs == expected).all()
