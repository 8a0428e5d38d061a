"""Options of distilling: defaults, the storage budget, and one line for each mistake."""

from __future__ import annotations

from typing import Any

import pytest
from distill_data import blobs

from gsdd_runtime.distillation.options import resolve
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import storage_budget


def test_defaults_are_those_of_the_paper_and_all_filled_in() -> None:
    options = resolve({"gpc": 4}, blobs())
    assert options.iterations == 20000
    assert options.method_options.batch_real == 256
    assert options.learning_rate == 1e-3
    assert options.representation_options.boundary_weight == 0.1
    assert options.method_options.batch_syn == 4
    assert options.network == "convnet3"
    assert options.device in ("cpu", "cuda")
    assert None not in options.as_dict().values()


@pytest.mark.parametrize(
    ("shape", "ipc", "gpc"),
    # (channels, side), storage, and what the rule of docs/distilling.md gives; beside the paper's 30, 160 and 200.
    [((1, 28), 1, 11), ((3, 32), 1, 30), ((3, 32), 10, 141), ((3, 128), 1, 121)],
)
def test_default_gpc_follows_its_rule(shape: tuple[int, int], ipc: int, gpc: int) -> None:
    channels, side = shape
    data = blobs(classes=1, per_class=1, channels=channels, height=side, width=side)
    options = resolve({"ipc": ipc, "init": "random"}, data)
    assert options.gpc == gpc
    assert options.storage.facts["gaussians_per_image"] == storage_budget(side, side, channels, ipc, gpc)


def test_default_gpc_is_no_more_than_the_smallest_class_has() -> None:
    data = blobs(per_class=2, height=32, width=32)
    assert resolve({}, data).gpc == 2
    assert resolve({"init": "color"}, data).gpc > 2


@pytest.mark.parametrize("ipc", [1, 3])
def test_both_representations_stay_within_the_storage(ipc: int) -> None:
    data = blobs(per_class=40)
    storage = data.height * data.width * data.channels * ipc * 4
    gaussians = resolve({"ipc": ipc, "gpc": 4}, data)
    pixels = resolve({"ipc": ipc, "representation": "pixels"}, data)
    assert pixels.gpc == 2 * ipc
    assert pixels.gpc * data.height * data.width * data.channels * 2 == storage
    used = gaussians.gpc * gaussians.storage.facts["gaussians_per_image"] * (6 + data.channels) * 2
    assert 0.9 * storage < used <= storage


@pytest.mark.parametrize("coding", ["none", "entropy"])
def test_the_storage_holds_four_times_as_many_pixel_images_at_half_the_size(coding: str) -> None:
    options = {"representation": "pixels", "ipc": 16, "coding": coding, "init": "random"}
    whole, half = (resolve({"downscale": factor, **options}, blobs()).gpc for factor in (1, 2))
    # Of noise, a coded pixel takes as many bits at either size, but for the code's tables.
    fewer = {"none": 1.0, "entropy": 0.95}[coding]
    assert int(4 * whole * fewer) <= half < 4 * (whole + 1)


def test_steps_of_a_fit_are_none_where_nothing_is_fitted() -> None:
    for options in ({"init": "random", "fit_steps": 50}, {"representation": "pixels", "fit_steps": 50}):
        assert resolve(options, blobs()).fit_steps == 0


def test_no_augmentation_has_two_spellings() -> None:
    for augment in ("none", None):
        assert resolve({"augment": augment}, blobs()).augment == "none"


def test_a_start_without_fitting_is_for_pixels_and_random_gaussians() -> None:
    for options in ({"init": "random", "fit_steps": 0}, {"representation": "pixels", "fit_steps": 0}):
        assert resolve(options, blobs()).init == options.get("init", "real")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"method": "dx"}, "method 'dx' is not known: choose one of dm"),
    ({"representation": "voxels"}, "representation 'voxels' is not known: choose one of gaussians, pixels"),
    (
        {"init": "noise"},
        "init 'noise' is not known: choose one of real, first, kmeans, ",
    ),
    ({"schedule": "step"}, "schedule 'step' is not known: choose one of constant, cosine"),
    ({"augment": "flip"}, "augment 'flip' is not known: choose one of dsa, none"),
    ({"device": "tpu"}, "device 'tpu' is not known: choose auto, cpu or cuda"),
    ({"device": "meta"}, "device 'meta' is not supported: choose auto, cpu or cuda"),
    ({"ipc": 0}, "ipc must be a whole number of at least 1, got 0"),
    ({"gpc": -3}, "gpc must be a whole number of at least 1, got -3"),
    ({"iterations": -1}, "iterations must be a whole number of at least 0, got -1"),
    ({"batch_real": 2.5}, "batch_real must be a whole number of at least 1, got 2.5"),
    ({"batch_syn": 0}, "batch_syn must be a whole number of at least 1, got 0"),
    ({"gpc": 3, "batch_syn": 4}, "batch_syn is 4, more than the 3 images of a class: lower it"),
    ({"classes_per_pass": 0}, "classes_per_pass must be a whole number of at least 1, got 0"),
    ({"update": "class", "classes_per_pass": 2}, "update class takes one class at a time: leave classes_per_pass out"),
    ({"fit_steps": -1}, "fit_steps must be a whole number of at least 0, got -1"),
    ({"seed": True}, "seed must be a whole number of at least 0, got True"),
    ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
    ({"learning_rate": float("nan")}, "learning_rate must be a number above 0, got nan"),
    ({"fit_learning_rate": float("inf")}, "fit_learning_rate must be a number above 0, got inf"),
    ({"boundary_weight": -0.1}, "boundary_weight must be 0 or a number above 0, got -0.1"),
    ({"fit_steps": 0}, "init 'real' but at random: give fit_steps of at least 1, or choose init random"),
    ({"fit_steps": 0, "init": "color"}, "init 'color' but at random: give fit_steps of at least 1"),
    ({"gpc": 1000, "init": "color"}, "does not hold one Gaussian for each of 1000 images"),
    ({"gpc": 11}, "class 'spot 0' of blobs has 10 training images, fewer than the 11"),
    ({"representation": "pixels", "gpc": 3}, "the storage of 1 float32 image per class holds 2 images of bfloat16"),
    ({"representation": "pixels", "downscale": 0}, "downscale must be a whole number of at least 1, got 0"),
    ({"representation": "pixels", "downscale": 3}, "images of 12x16 cannot be downscaled by 3 a side"),
    (
        {"downscale": 2},
        "downscale is an option of representation pixels, not of representation gaussians: ",
    ),
    ({"representation": "pixels", "init": "color"}, "choose another init, such as real or random"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_a_mistake_gets_one_line_that_names_it(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(options, blobs())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_class_is_named() -> None:
    data = blobs(classes=2)
    data.train_labels[:] = 1
    with pytest.raises(InputError, match="class 'spot 0' of blobs has no training image"):
        resolve({"init": "color"}, data)


@pytest.mark.parametrize(
    ("form", "stands_for"),
    [
        ("pixels8", {"representation": "pixels", "coding": "entropy", "pixel_bits": 8}),
        ("pixels2", {"representation": "pixels", "coding": "entropy", "pixel_bits": 2}),
        ("downscaled", {"representation": "pixels", "coding": "none", "downscale": 2}),
    ],
)
def test_a_form_of_pixels_is_what_it_stands_for(form: str, stands_for: dict[str, Any]) -> None:
    data = blobs(per_class=40, height=32, width=32)
    options = resolve({"representation": form, "ipc": 4, "init": "random"}, data)
    assert options.as_dict() == resolve({**stands_for, "ipc": 4, "init": "random"}, data).as_dict()
    assert {name: options.as_dict()[name] for name in stands_for} == stands_for


def test_a_form_of_pixels_is_not_another() -> None:
    with pytest.raises(InputError, match="representation pixels2 has pixel_bits 2, not 8: leave pixel_bits out"):
        resolve({"representation": "pixels2", "pixel_bits": 8}, blobs())
    with pytest.raises(InputError, match="representation downscaled has downscale 2, not 4"):
        resolve({"representation": "downscaled", "downscale": 4}, blobs())
