"""The start of crops that a teacher knows best, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from expert_data import DATA, made

from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.drawing import DrawnNetwork
from gsdd_runtime.distillation.starts import Source, crops, start_of
from gsdd_runtime.distillation.starts.crops import best_crops, cut, random_box
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.teaching import load_teacher
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    made(folder)
    return folder


def source(gpc: int) -> Source:
    device = torch.device("cpu")
    network = DrawnNetwork("convnet1-w4", 1, 3, (8, 8), seed=2, device=device)
    return Source(RealImages(DATA, 2, device), DATA, network, gpc, 2, device)


def test_the_best_crop_of_each_image_goes_before_a_second_one() -> None:
    losses = torch.tensor([[3.0, 1.0], [0.5, 0.7], [2.0, 9.0]])
    assert best_crops(losses, 5).tolist() == [2, 1, 4, 3, 0]


def test_crops_lie_in_the_image_and_have_its_share() -> None:
    generator = derived_generator(0, "boxes")
    boxes = [random_box(20, 30, generator) for _ in range(400)]
    for top, left, height, width in boxes:
        assert 0 <= top <= top + height <= 20
        assert 0 <= left <= left + width <= 30
    shares = torch.tensor([height * width / 600 for _, _, height, width in boxes])
    assert shares.min() > 0.05
    assert abs(float(shares.mean()) - (1 + crops.LEAST_AREA) / 2) < 0.05
    assert len({(top, left) for top, left, *_ in boxes}) > 100


def test_each_image_is_four_crops_of_its_class_that_the_teacher_knows_best(teacher: Path) -> None:
    gpc = 2
    images = start_of(f"crops:{teacher}").images(source(gpc))
    assert images is not None
    assert images.shape == (3 * gpc, 1, 8, 8)
    part = start_of(f"crops:{teacher}").images(replace(source(gpc), own=(2,)))
    assert part is not None
    assert part.equal(images[2 * gpc :])
    known = load_teacher(teacher, DATA.preparation)
    for index in range(3):
        generator = derived_generator(2, "init", "crops", index)
        members = (DATA.train_labels == index).nonzero().flatten()
        members = members[torch.randperm(10, generator=generator)]
        boxes = [random_box(8, 8, generator) for _ in range(50)]
        scored = []
        for place, box in enumerate(boxes):
            image = DATA.train_images[members[place // 5]].float() / 255
            share = known.labels(cut(image, box, (8, 8))[None])[0, index]
            scored.append((-float(share.log()), place))
        best = sorted(min(scored[first : first + 5]) for first in range(0, 50, 5))
        for number in range(gpc):
            cells = [best[number + gpc * cell][1] for cell in range(4)]
            for cell, place in enumerate(cells):
                expected = cut(DATA.train_images[members[place // 5]].float() / 255, boxes[place], (4, 4))
                row, column = 4 * (cell // 2), 4 * (cell % 2)
                found = images[index * gpc + number][:, row : row + 4, column : column + 4]
                assert torch.allclose(found, expected, atol=1e-6)


def test_a_run_tells_of_each_class_whose_crops_it_has_chosen(teacher: Path) -> None:
    told: list[Progress] = []
    distill(DATA, init=f"crops:{teacher}", network="convnet1-w4", gpc=1, iterations=1, batch_real=4, fit_steps=1,
            device="cpu", progress=told.append)  # fmt: skip
    assert [(each.step, each.total) for each in told if each.phase == "crops"] == [(1, 3), (2, 3), (3, 3)]


def test_a_run_starts_from_crops_and_says_of_which_teacher(teacher: Path) -> None:
    options: dict[str, Any] = {
        "network": "convnet1-w4", "gpc": 2, "iterations": 1, "batch_real": 4, "device": "cpu", "seed": 2,
        "representation": "pixels", "learning_rate": 1e-9,
    }  # fmt: skip
    made_set = distill(DATA, init=f"crops:{teacher}", **options)
    assert made_set.pixels is not None
    expected = start_of(f"crops:{teacher}").images(source(2))
    assert expected is not None
    assert torch.equal(made_set.pixels, expected.bfloat16())
    assert made_set.options["init"].startswith(f"crops:{teacher.name} sha256:")
    with pytest.raises(InputError, match=r"class 'top' of easy has 10 images, and 52 crops of them are wanted"):
        start_of(f"crops:{teacher}").images(source(13))
    with pytest.raises(InputError, match="crops:MODEL"):
        start_of("crops")
