"""Recipes of distilling: complete, strict, those of the paper's table, and on record where they were taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run as command
from gsdd_runtime.datasets.catalog import DATASETS
from gsdd_runtime.distillation import distill, plan
from gsdd_runtime.distillation.declared import declared
from gsdd_runtime.distillation.journal import read_log
from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.distillation.options import CommonOptions, resolve
from gsdd_runtime.distillation.recipes import FOLDER, load_recipe, parsed, recipe_names, setting_of, with_recipe
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import log_path
from gsdd_runtime.networks import catalog
from gsdd_runtime.splatting.gaussians import storage_budget

CHECKOUT = Path(__file__).parent.parent

# The rows of the paper's table: images and Gaussians of each in a class, and the size of the images.
PAPER = {
    "cifar10-tm-ipc1": (1, 30, 22, 32), "cifar10-tm-ipc10": (10, 160, 42, 32), "cifar10-tm-ipc50": (50, 250, 136, 32),
    "cifar100-tm-ipc1": (1, 30, 22, 32), "cifar100-tm-ipc10": (10, 80, 85, 32), "cifar100-tm-ipc50": (50, 400, 85, 32),
    "imagenet-128-tm-ipc1": (1, 64, 170, 128), "imagenet-128-tm-ipc10": (10, 640, 170, 128),
    "imagenet-128-dm": (1, 200, 54, 128), "imagenet-256-dm": (1, 120, 364, 256), "imagenet-128-dc": (1, 200, 54, 128),
    "imagenet1k-224-dm-ipc1": (1, 50, 669, 224), "imagenet1k-224-dm-ipc10": (10, 200, 1672, 224),
}  # fmt: skip
every_recipe = pytest.mark.parametrize("name", recipe_names())


def test_every_row_of_the_papers_table_is_a_recipe() -> None:
    assert PAPER.keys() <= set(recipe_names())
    for name, (ipc, gpc, count, size) in PAPER.items():
        recipe = load_recipe(name)
        assert (recipe.distill["ipc"], recipe.distill["gpc"]) == (ipc, gpc), name
        assert storage_budget(size, size, 3, ipc, gpc) == count, name
        assert recipe.data.get("size", "32") == str(size), name
        assert recipe.distill["method"] in name


@every_recipe
def test_a_figure_that_we_measured_is_of_the_recipe_as_it_is(name: str) -> None:
    recipe = load_recipe(name)
    for one in recipe.expect:
        if not one.source.startswith("benchmarks/results/"):
            continue
        points = json.loads((CHECKOUT / one.source).read_text())["points"]
        found = [point for point in points if round(100 * point["last_epoch"]["mean"], 1) == one.accuracy]
        # Before there was a choice, fits started anywhere.
        made = [{"placement": "uniform", **point["made"]["options"]} for point in found]
        assert any(recipe.distill.items() <= options.items() for options in made), (name, one)


@every_recipe
def test_a_recipe_is_complete(name: str) -> None:
    recipe = load_recipe(name)
    # What decides a result and is not the same for every run is said, not left to a default that may change.
    said = {"method", "ipc", "gpc", "iterations", "network", "learning_rate", "schedule", "init", "augment",
            "fit_steps", "fit_learning_rate", "boundary_weight"}  # fmt: skip
    assert said <= recipe.distill.keys()
    assert "dataset" in recipe.data or "imagefolder" in (recipe.needs or "")
    assert recipe.data.get("dataset", "cifar10") in DATASETS
    for one in recipe.expect:
        assert 10 < one.accuracy < 100
        assert one.source
        assert "epochs" in one.protocol


def stand_in(name: str) -> gsdd.RealData:
    """Data of the form that a recipe is for, of as many images a class as it starts from."""
    recipe = load_recipe(name)
    classes, channels, side = (100, 3, 32) if "cifar100" in name else (10, 3, 32)
    if "fashion" in recipe.data.get("dataset", ""):
        channels, side = 1, 28
    side = int(recipe.data.get("size", side))
    count = recipe.distill["gpc"]
    labels = torch.arange(classes).repeat_interleave(count)
    images = torch.zeros(1, channels, side, side, dtype=torch.uint8).expand(len(labels), -1, -1, -1)
    names = tuple(map(str, range(classes)))
    return gsdd.RealData(
        "stand-in", images, labels, images[:0], labels[:0], names, (0.5,) * channels, (0.2,) * channels, "x"
    )


@every_recipe
def test_a_recipe_resolves_for_its_data(name: str) -> None:
    recipe = load_recipe(name)
    catalog.entry(recipe.distill["network"])
    options = dict(recipe.distill)
    assert options["method"] in OBJECTIVES
    needs = {"tm": "experts", "dance": "experts", "squeeze": "a trained network"}.get(options["method"])
    if needs is not None:
        with pytest.raises(InputError, match=needs):
            resolve(options, stand_in(name))
        return
    resolved = resolve(options, stand_in(name)).as_dict()
    assert {key: resolved[key] for key in options} == options


def test_an_option_given_beside_a_recipe_takes_its_place() -> None:
    ours = load_recipe("sample-dm").distill
    chosen = with_recipe("sample-dm", {"learning_rate": 2e-3, "gpc": 10, "batch_syn": 3, "seed": 4, "init": None})
    assert chosen.options == {**ours, "learning_rate": 2e-3, "gpc": 10, "batch_syn": 3, "seed": 4}
    assert chosen.changed == {"learning_rate": (4e-3, 2e-3)}
    assert chosen.told() == "recipe sample-dm with learning_rate 0.002 in place of 0.004"
    assert chosen.record() == {"name": "sample-dm", "values": {**ours, "learning_rate": 2e-3, "batch_syn": 3}}


def test_what_another_coding_or_method_has_not_is_left_out_of_a_recipe() -> None:
    ours = load_recipe("fashion-mnist-ncfm-coded").distill
    chosen = with_recipe("fashion-mnist-ncfm-coded", {"coding": "none", "gpc": 10})
    kept = {name: value for name, value in ours.items() if name not in ("gaussians", "rate_weight")}
    assert chosen.options == {**kept, "coding": "none", "gpc": 10}
    assert chosen.told() == (
        "recipe fashion-mnist-ncfm-coded with coding none in place of entropy, gpc 10 in place of 64, "
        "and so without its gaussians, rate_weight"
    )
    with pytest.raises(InputError, match=r"gaussians is an option of .* with coding entropy"):
        resolve(with_recipe("sample-dm", {"gaussians": 4}).options, stand_in("sample-dm"))
    recovered = with_recipe("sample-squeeze", {"method": "dm"})
    assert recovered.left == ("statistics_weight", "first_norm_weight", "crop_scale")


def test_a_recipe_is_on_record_and_does_what_its_options_do(tmp_path: Path) -> None:
    data, out = blobs(), tmp_path / "set.safetensors"
    said: list[str] = []
    by_name = distill(data, recipe="sample-dm", out=out, device="cpu", say=said.append, **SMALL)
    options = {**load_recipe("sample-dm").distill, **SMALL}
    by_hand = distill(data, device="cpu", **options)
    assert torch.equal(by_name.decode(), by_hand.decode())
    assert said[0].startswith("recipe sample-dm with ")
    recorded = gsdd.DistilledSet.load(out).options["recipe"]
    assert recorded == {"name": "sample-dm", "values": options}
    assert read_log(log_path(out))[0]["options"]["recipe"] == recorded
    assert plan(data, recipe="sample-dm", device="cpu", **SMALL) == plan(data, device="cpu", **options)


WRONG = [
    ("x = 1", "'x' is not known"),
    ("title = 1", "title must be a text"),
    ("[data]\npath = 'x'", "data: 'path' is not known"),
    ("[data]\nzca = 1", "zca must be true or false"),
    ("[distill]\nlearning-rate = 1", "'learning-rate' is not known"),
    ("[distill]\nseed = 1", "'seed' is not known"),
    ("[distill]\nipc = 1.0", "ipc must be a whole number"),
    ("[distill]\nipc = true", "ipc must be a whole number"),
    ("[distill]\nipc = 0", "ipc must be a whole number of at least 1"),
    ("[distill]\nmethod = 'no'", "method 'no' is not known"),
    ("distill = 1", "distill must be a table"),
    ("expect = [1]", "expect must be tables"),
    ("[[expect]]\naccuracy = 1", "source must be a text"),
    ("[[expect]]\nfigure = 1", "'figure' is not known"),
    ("[distill", "recipe 'mine'"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text for text, _ in WRONG])
def test_a_recipe_says_nothing_that_is_not_known(text: str, told: str) -> None:
    with pytest.raises(InputError, match="recipe 'mine'") as caught:
        parsed("mine", text)
    assert told in str(caught.value)


def test_no_recipe_lies_outside_the_folder() -> None:
    for name in ("../recipes/sample-dm", "", "sample-dm.toml", "no"):
        with pytest.raises(InputError, match="choose one of cifar10-ncfm-coded, cifar10-ncfm-coded-ipc10, "):
            load_recipe(name)
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} == {".py", ".toml"}


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ("learning-rate=2e-3", ("learning_rate", 2e-3)), ("ipc= 3", ("ipc", 3)), ("zca=true", ("zca", True)),
        ("size=20x24", ("size", "20x24")), ("learn_labels=false", ("learn_labels", False)),
    ],
)  # fmt: skip
def test_a_setting_is_read_by_its_option(words: str, setting: tuple[str, Any]) -> None:
    assert setting_of(words) == setting


@pytest.mark.parametrize("words", ["ipc", "no=1", "ipc=", "ipc=1.5", "zca=1", "ipc=0", "method=no", "=3"])
def test_a_setting_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(InputError):
        setting_of(words)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert command(["distill", *words]) == 2
    return capsys.readouterr().err


def test_the_command_takes_the_data_of_a_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def asked(name: str, **options: Any) -> None:
        seen.append({"name": name, **options})
        raise InputError("seen")

    monkeypatch.setattr("gsdd_runtime.datasets.load_dataset", asked)
    out = ("--out", str(tmp_path / "set.safetensors"))
    told(capsys, "--recipe", "imagenet-128-dm", "--dataset", "imagefolder:there", *out)
    told(capsys, "--recipe", "cifar10-tm-ipc1", "--data-dir", "there", *out)
    changed = told(capsys, "--recipe", "cifar10-tm-ipc1", "--no-zca", "--set", "resize=squash", *out)
    assert [(one["name"], one["size"], one["classes"], one["resize"], one["zca"]) for one in seen] == [
        ("imagefolder:there", (128, 128), "nette", "squash", False), ("cifar10", None, None, "cover", True),
        ("cifar10", None, None, "squash", False),
    ]  # fmt: skip
    assert seen[0]["normalization"] == "published"
    assert "recipe cifar10-tm-ipc1 with zca False in place of True\n" in changed
    open_ = told(capsys, "--recipe", "imagenet-128-dm", *out)
    assert "recipe imagenet-128-dm leaves the real data open: give --dataset" in open_
    assert "--dataset is missing" in told(capsys, *out)
    assert "give --recipe, or --ipc alone" in told(capsys, "--dataset", "cifar10", "--set", "ipc=3", *out)
    twice = told(capsys, "--recipe", "sample-dm", "--ipc", "2", "--set", "ipc=3", *out)
    assert "ipc is given twice, as 2 and 3" in twice
    assert "recipe 'no' is not known" in told(capsys, "--recipe", "no", *out)


def test_recipes_are_listed_with_the_figure_to_expect(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(recipe_names())]] == list(recipe_names())
    (row,) = [line for line in lines if line.startswith("cifar10-tm-ipc1 ")]
    for words in ("cifar10 ZCA", "tm, 15000 steps, convnet3", "ipc 1, 30 images a class", "67.6 % (GSDD, arXiv"):
        assert words in row
    (row,) = [line for line in lines if line.startswith("sample-dm ")]
    assert row.endswith(str(load_recipe("sample-dm").cost))
    assert command(["recipes", "cifar10-tm-ipc1"]) == 0
    whole = capsys.readouterr().out
    for words in ("--experts EXPERTS", "syn_steps = 60", "zca = true", "best checkpoint on the test images"):
        assert words in whole
    assert command(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["recipes"]
    assert {one["name"]: one["distill"] for one in listed} == {
        name: dict(load_recipe(name).distill) for name in recipe_names()
    }
    assert command(["recipes", "no"]) == 2


def test_no_option_of_every_run_is_called_as_one_of_the_data() -> None:
    from gsdd_runtime.distillation.recipes import DATA

    assert DATA.keys().isdisjoint(one.name for one in declared(CommonOptions))
