"""What each public function says to an argument of another kind: one line, with what to make instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from easy_data import easy_data, easy_set
from refusals import check_refused
from torch import nn
from torch.utils.data import TensorDataset

import gsdd_runtime as gsdd
from gsdd_runtime.distillation import fit_images
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.export.onnx import export_onnx
from gsdd_runtime.export.program import export_aot_inductor, export_program
from gsdd_runtime.export.tensorrt import export_tensorrt
from gsdd_runtime.export.torchscript import export_torchscript
from gsdd_runtime.export.train_step import export_train_step
from gsdd_runtime.networks import build
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.training.trainer import train

DATA = easy_data()
SET = easy_set(DATA)
PAIR = (DATA.train_images, DATA.train_labels)
NETWORK = nn.Linear(2, 2)
MAKE_DATA, OPEN_SET = "gsdd.RealData.from_arrays(", "gsdd.DistilledSet.load("
TENSOR = "torch.as_tensor"
ARRAY = np.zeros((2, 1, 8, 8), dtype=np.float32)
OUT = Path("never-written")

WRONG: list[tuple[str, Callable[[], Any], tuple[str, ...]]] = [
    ("distill a pair", lambda: gsdd.distill(PAIR), ("data must be a RealData, got tuple", MAKE_DATA)),
    ("distill a dataset", lambda: gsdd.distill(TensorDataset(*PAIR)), ("got TensorDataset", MAKE_DATA)),
    ("distill a name", lambda: gsdd.distill("fashion-mnist"), ("got str", "gsdd.load_dataset(")),
    (
        "distill by a module",
        lambda: gsdd.distill(DATA, gpc=1, network=NETWORK),
        ("network must be a name, got Linear",),
    ),
    ("distill by a list", lambda: gsdd.distill(DATA, method=["dm"]), ("method", "choose one of dm")),
    ("evaluate a path", lambda: gsdd.evaluate("set", DATA), ("distilled_set must be", "got str", OPEN_SET)),
    ("evaluate a pair", lambda: gsdd.evaluate(PAIR, DATA), ("distilled_set must be", "got tuple", OPEN_SET)),
    ("evaluate on a pair", lambda: gsdd.evaluate(SET, PAIR), ("data must be", "got tuple", MAKE_DATA)),
    ("evaluate a module", lambda: gsdd.evaluate(SET, DATA, network=NETWORK), ("network must be a name", "convnet1")),
    ("train a path", lambda: train(Path("set")), ("distilled_set must be", OPEN_SET)),
    ("train a module", lambda: train(SET, network=NETWORK), ("network must be a name, got Linear", "convnet1")),
    ("build of nothing", lambda: build(None, 1, 2, (8, 8), seed=0), ("network must be a name, got NoneType",)),
    ("fit arrays", lambda: fit_images(ARRAY, 4), ("images must be a torch.Tensor, got ndarray", TENSOR)),
    ("load a pair", lambda: gsdd.DistilledLoader(PAIR, 8), ("set_or_path", "got tuple", "gsdd.DistilledSet(")),
    ("load by a module", lambda: gsdd.DistilledLoader(SET, 8, decoder=NETWORK), ("decoder must be", "got Linear")),
    ("map a pair", lambda: gsdd.DistilledDataset(PAIR), ("set_or_path", "got tuple", "gsdd.DistilledSet(")),
    ("choose of a pair", lambda: random_real_set(PAIR, per_class=1), ("data must be", MAKE_DATA)),
    ("save a dict", lambda: save_model({}, OUT, network="mlp", distilled_set=SET), ("model must be", "got dict")),
    ("save for a path", lambda: save_model(NETWORK, OUT, network="mlp", distilled_set="set"), ("got str", OPEN_SET)),
    ("a set of arrays", lambda: gsdd.DistilledSet(ARRAY, torch.arange(2), 8, 8), ("gaussians must be", TENSOR)),
    ("a set of lists", lambda: easy_set(DATA, labels=[0] * 9), ("labels must be a torch.Tensor, got list", TENSOR)),
    ("splat an array", lambda: gsdd.splat(ARRAY, 8, 8), ("gaussians must be a torch.Tensor", TENSOR)),
    ("splat an array slowly", lambda: gsdd.reference.splat(ARRAY, 8, 8), ("gaussians must be a torch.Tensor", TENSOR)),
    *(
        (f"{export.__name__} {type(source).__name__}", lambda e=export, s=source: e(s, OUT), ("got", remedy))
        for export, source, remedy in (
            (export_onnx, PAIR, OPEN_SET),
            (export_onnx, "set", OPEN_SET),
            (export_train_step, PAIR, OPEN_SET),
            (export_torchscript, PAIR, OPEN_SET),
            (export_program, PAIR, OPEN_SET),
            (export_aot_inductor, "set", OPEN_SET),
            (export_tensorrt, PAIR, "gsdd.DistilledSet"),
        )
    ),
]


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_another_kind_gets_one_line(call: Callable[[], Any], words: tuple[str, ...]) -> None:
    check_refused(call, *words)


def test_a_pair_becomes_data_as_the_remedy_says() -> None:
    data = gsdd.RealData.of("mine", (DATA.train_images, DATA.train_labels.int()), None, ["a", "b", "c"])
    assert data.class_names == ("a", "b", "c")
    assert data.train_labels.dtype == torch.int64
    assert data.test_images.shape == (0, 1, 8, 8)
    assert gsdd.distill(data, gpc=1, iterations=1, fit_steps=1, network="convnet1-w4", device="cpu").classes == 3


IMAGES, LABELS = PAIR


@pytest.mark.parametrize(
    ("train_part", "test_part", "words"),
    [
        ((IMAGES.float() / 255, LABELS), None, "images must be uint8"),
        ((IMAGES[:, 0], LABELS), None, "images must be uint8"),
        ((IMAGES.expand(-1, 5, -1, -1), LABELS), None, "images must be uint8"),
        ((IMAGES, LABELS[:4]), None, "labels must be whole numbers"),
        ((IMAGES, LABELS.float()), None, "labels must be whole numbers"),
        ((IMAGES, LABELS + 1), None, "labels are 1 to 3, out of range for 3 class names"),
        ((IMAGES, LABELS), (IMAGES, LABELS - 1), "test: labels are -1 to 1"),
        ((IMAGES, LABELS), (IMAGES[:, :, :4], LABELS), "1x8x8 and 1x4x8"),
        ((IMAGES[:0], LABELS[:0]), None, "train holds no image"),
        (IMAGES, None, "two tensors, got Tensor"),
        ((IMAGES.numpy(), LABELS.numpy()), None, "two tensors, got tuple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_of_another_shape_is_refused(train_part: Any, test_part: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        gsdd.RealData.of("mine", train_part, test_part, ("a", "b", "c"))
