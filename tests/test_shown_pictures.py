"""Every picture that the README and the docs show is what its target would draw now, from inputs that are kept."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from script_folders import first_in_path

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands import demo
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.distillation.recipes import load_recipe

CHECKOUT = Path(__file__).parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"
with first_in_path(CHECKOUT / "benchmarks"):
    import rate_tables
# Held by test_rate_tables.py to the results that they are charts of.
RATES = {str(place.relative_to(CHECKOUT)) for place in rate_tables.charts()}
# In steps of 8 bits: another processor may round a value of the decoder the other way.
ROUNDING = 1


def program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pictures = program(CHECKOUT / "docs" / "draw_pictures.py")


def is_up_to_date(kept: Path, drawn: Path) -> bool:
    one, other = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (kept, drawn))
    return one.shape == other.shape and int(np.abs(one - other).max()) <= ROUNDING


def outdated(sets: dict[str, DistilledSet], folder: Path) -> list[str]:
    """The pictures that are not those of the sets."""
    pictures.draw(sets, folder)
    return [name for name in pictures.PICTURES.values() if not is_up_to_date(pictures.IMAGES / name, folder / name)]


def test_every_picture_is_held_to_what_makes_it() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no checkout of git: which files are in the repository is not known")
    found = {name for name in listed.stdout.split("\0") if re.search(r"\.(png|svg|jpe?g|gif|webp)$", name)}
    ours = {f"docs/images/{name}" for name in pictures.PICTURES.values()}
    assert found == ours | RATES | {f"benchmarks/results/{path.name}" for path in RESULTS.glob("*-decode.svg")}


def test_the_pictures_of_the_demo_are_those_of_its_sets(tmp_path: Path) -> None:
    assert outdated(pictures.sets(), tmp_path) == [], "run `make pictures`"


def test_the_table_of_the_demo_is_that_of_its_sets() -> None:
    text = (CHECKOUT / "README.md").read_text()
    sets = pictures.sets()
    assert pictures.table(sets) in text, "run `make pictures`"
    assert pictures.written(text, sets) == text


@pytest.mark.parametrize(("name", "recipe"), [("gaussians", "sample-dm"), ("coded", "sample-dm-coded")])
def test_a_recipe_expects_what_the_demo_came_to(name: str, recipe: str) -> None:
    (stated,) = pictures.sets()[name].accuracy
    (expected,) = load_recipe(recipe).expect
    assert expected.accuracy == round(100 * stated["last_epoch"]["mean"], 1)


def test_the_sets_of_the_pictures_are_what_the_demo_distills() -> None:
    data = load_dataset("fashion-mnist-sample")
    for name, one in pictures.sets().items():
        assert one.fingerprint == data.fingerprint
        assert one.class_names == data.class_names
        (stated,) = one.accuracy
        told = {"network": stated["network"], "epochs": stated["epochs"], "repeats": stated["networks"]}
        assert told.items() <= demo.EVALUATE.items()
        assert stated["data"]["fingerprint"] == data.fingerprint
        if name == "random-real":
            assert (one.method, len(one)) == ("random-real", 4 * demo.IPC * data.classes)
            continue
        options = {**demo.DISTILL, **demo.DISTILLED[name], "ipc": demo.IPC}
        if name == "pixels":
            # They are the images themselves: nothing is fitted.
            options["fit_steps"] = 0
        # Before there was a choice, fits started anywhere.
        assert options.items() <= {"placement": "uniform", **one.options}.items()


def test_a_picture_of_other_sets_is_seen_to_be_old(tmp_path: Path) -> None:
    sets = pictures.sets()
    assert sets["gaussians"].gaussians is not None
    moved = sets["gaussians"].gaussians.clone()
    # One image of a hundred, darker.
    moved[17, :, -1] *= 0.5
    changed = sets["gaussians"].changed(gaussians=moved)
    assert outdated({**sets, "gaussians": changed}, tmp_path) == ["demo.png"]
    fewer = sets["pixels"].changed(pixels=sets["pixels"].pixels.flip(0), labels=sets["pixels"].labels.flip(0))
    assert set(outdated({**sets, "pixels": fewer}, tmp_path)) == {"demo.png", "zoom.png"}
    better = dict(sets["coded"].accuracy[0], last_epoch={"mean": 0.999, "std": 0.0})
    claims = {**sets, "coded": sets["coded"].changed(accuracy=[better])}
    text = (CHECKOUT / "README.md").read_text()
    assert "99.9 ± 0.0 %" in pictures.written(text, claims) != text


def test_a_picture_that_is_drawn_otherwise_is_seen_to_be_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(demo.NAMES, "pixels", "pixels, drawn")
    assert set(outdated(pictures.sets(), tmp_path)) == {"demo.png", "zoom.png"}
    monkeypatch.undo()
    monkeypatch.setattr(demo, "ZOOMED", (7, 9))
    assert outdated(pictures.sets(), tmp_path) == ["zoom.png"]


def test_the_charts_and_tables_of_decoding_are_those_of_the_results(tmp_path: Path) -> None:
    kept = [path for path in RESULTS.iterdir() if "-decode." in path.name]
    assert len(kept) % 3 == 0
    for path in kept:
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.suffix == ".json" else b"")
    pictures.draw_decoding(tmp_path)
    for path in kept:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), "run `make pictures`"
