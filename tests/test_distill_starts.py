"""Where the first images come from: which real images are chosen, and going on from a set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from torch import Tensor

from gsdd_runtime import DistilledSet
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.drawing import DrawnNetwork
from gsdd_runtime.distillation.options import resolve
from gsdd_runtime.distillation.starts import STARTS, Source, start_of
from gsdd_runtime.distillation.starts import start as start_module
from gsdd_runtime.distillation.starts.herding import herded
from gsdd_runtime.distillation.starts.kmeans import clustered
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress

CPU = torch.device("cpu")


def source(gpc: int = 3, seed: int = 0) -> Source:
    data = blobs()
    network = DrawnNetwork("convnet1-w8", 1, 3, (12, 16), seed=seed, device=CPU)
    return Source(RealImages(data, seed, CPU), data, network, gpc, seed, CPU)


@pytest.mark.parametrize("init", [name for name, made in STARTS.items() if made.argument is None])
def test_some_classes_start_as_they_do_among_all(init: str) -> None:
    whole, part = (start_of(init).images(one) for one in (source(), replace(source(), own=(0, 2))))
    if whole is None:
        assert part is None
        return
    assert part is not None
    assert part.equal(whole[[0, 1, 2, 6, 7, 8]])


@pytest.mark.parametrize("init", [name for name, made in STARTS.items() if made.chooses])
def test_what_chooses_takes_different_images_of_each_class(init: str) -> None:
    data = blobs()
    images = start_of(init).images(source())
    assert images is not None
    pixels = data.train_images.float() / 255
    found = [int((pixels == image).flatten(1).all(dim=1).nonzero().item()) for image in images]
    assert len(set(found)) == 9
    assert data.train_labels[found].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    again, whole = start_of(init).images(source()), start_of(init).images(source(gpc=10))
    assert again is not None
    assert whole is not None
    assert torch.equal(images, again)
    assert whole.shape[0] == 30


def test_the_first_are_the_first() -> None:
    images = start_of("first").images(source(gpc=2))
    assert images is not None
    assert torch.equal(images, blobs().train_images[[0, 1, 10, 11, 20, 21]].float() / 255)


def features(count: int = 40, size: int = 5, seed: int = 3) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_herding_takes_at_each_turn_the_row_that_brings_the_mean_nearest() -> None:
    rows = features()
    mean = rows.double().mean(dim=0)
    chosen: list[int] = []
    for _ in range(12):
        left = [row for row in range(len(rows)) if row not in chosen]
        distances = [float((rows[[*chosen, row]].double().mean(dim=0) - mean).norm()) for row in left]
        chosen.append(left[distances.index(min(distances))])
    assert herded(rows, 12).tolist() == chosen
    assert sorted(herded(rows, 40).tolist()) == list(range(40))


def test_kmeans_takes_a_row_of_each_of_some_plain_clusters() -> None:
    centres = 20 * features(6, 4)
    rows = (centres[:, None] + 0.1 * features(60, 4).view(6, 10, 4)).flatten(0, 1)
    chosen = clustered(rows, 6, torch.Generator().manual_seed(0))
    assert sorted((chosen // 10).tolist()) == list(range(6))
    for row in chosen.tolist():
        own = rows[row // 10 * 10 : row // 10 * 10 + 10]
        assert (own - own.mean(dim=0)).norm(dim=1).argmin() == row % 10


def test_kmeans_takes_different_rows_where_many_are_alike() -> None:
    rows = torch.zeros(8, 3)
    rows[5] = 1
    for count in (1, 5, 8):
        chosen = clustered(rows, count, torch.Generator().manual_seed(0))
        assert len(set(chosen.tolist())) == count


def test_features_are_those_of_a_fresh_network_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = source()
    whole = ours.features(torch.arange(30))
    monkeypatch.setattr(start_module, "PART_VALUES", 7 * 12 * 16)
    sizes = []
    honest = ours.real.inputs

    def counted(positions: Tensor) -> Tensor:
        sizes.append(len(positions))
        return honest(positions)

    monkeypatch.setattr(ours.real, "inputs", counted)
    torch.testing.assert_close(ours.features(torch.arange(30)), whole)
    assert sizes == [7, 7, 7, 7, 2]
    assert not torch.equal(source(seed=1).features(torch.arange(30)), whole)


def made(path: Path, **options: Any) -> DistilledSet:
    return distill(blobs(), device="cpu", out=path, **{**SMALL, **options})


def phases(**options: Any) -> tuple[DistilledSet, list[str]]:
    seen: list[Progress] = []
    made = distill(blobs(), device="cpu", progress=seen.append, **{**SMALL, **options})
    return made, list(dict.fromkeys(report.phase for report in seen))


STILL = {"iterations": 1, "learning_rate": 1e-9}


def test_a_set_of_the_same_form_is_gone_on_from_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    earlier = made(path)
    again, went = phases(init=f"set:{path}", method="dc", **STILL)
    assert went == ["match"]
    assert torch.equal(again.rows(), earlier.rows())
    assert again.options["init"].startswith("set:earlier.safetensors sha256:")
    assert str(tmp_path) not in again.options["init"]
    part = start_of(f"set:{path}").rows(replace(source(), own=(0, 2)))
    assert part is not None
    assert part.equal(earlier.rows([0, 1, 2, 6, 7, 8]))


def test_a_class_with_too_few_images_has_all_of_them_fitted_whoever_holds_which(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    earlier = made(path)
    kept = [0, 1, 2, 3, 4, 6, 7, 8]
    earlier.changed(gaussians=earlier.rows(kept), labels=earlier.labels[kept]).save(path)
    for own in ((0, 2), (1,)):
        assert start_of(f"set:{path}").rows(replace(source(), own=own)) is None


def test_of_more_images_the_first_of_each_class_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    earlier = made(path, representation="pixels", fit_steps=None, gpc=2)
    again, _ = phases(init=f"set:{path}", representation="pixels", fit_steps=None, gpc=1, **STILL)
    assert torch.equal(again.rows(), earlier.rows([0, 2, 4]))


def test_fewer_images_are_filled_up_with_real_ones_and_all_are_fitted(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    earlier = made(path, gpc=1)
    start = start_of(f"set:{path}")
    images = start.images(source(gpc=3))
    assert images is not None
    assert torch.equal(images[[0, 3, 6]], earlier.decode())
    part = start.images(replace(source(gpc=3), own=(0, 2)))
    assert part is not None
    assert part.equal(images[[0, 1, 2, 6, 7, 8]])
    real = blobs().train_images.float() / 255
    for place, label in ((1, 0), (2, 0), (4, 1), (8, 2)):
        assert (real[blobs().train_labels == label] == images[place]).flatten(1).all(dim=1).any()
    _, went = phases(init=f"set:{path}", **STILL)
    assert went == ["fit", "match"]


def test_a_set_of_another_representation_is_fitted(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    made(path, representation="pixels", fit_steps=None, gpc=2)
    again, went = phases(init=f"set:{path}", gpc=2, fit_steps=150, **STILL)
    assert went == ["fit", "match"]
    # Measured: 0.02.
    assert (again.decode() - DistilledSet.load(path).decode()).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"height": 16}, "height 12, and blobs has 16"),
        ({"width": 12}, "width 16, and blobs has 12"),
        ({"channels": 3}, "channels 1, and blobs has 3"),
        ({"classes": 4}, "classes 3, and blobs has 4"),
    ],
)
def test_a_set_of_other_images_is_refused(data: dict[str, int], told: str, tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    made(path, iterations=1, fit_steps=1)
    with pytest.raises(InputError) as caught:
        resolve({"init": f"set:{path}"}, blobs(**data))
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_set_of_classes_with_other_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    earlier = made(path, iterations=1, fit_steps=1)
    names = ("a", "b", "c")
    assert earlier.gaussians is not None
    DistilledSet(earlier.gaussians, earlier.labels, 12, 16, class_names=names).save(path)
    with pytest.raises(InputError, match="have other names, or another order, than blobs's"):
        resolve({"init": f"set:{path}"}, blobs())


@pytest.mark.parametrize("init", ["set", "set:", "real:x", "herding:", "", "magic"])
def test_what_names_no_start_is_told_with_those_that_there_are(init: str) -> None:
    with pytest.raises(InputError, match=r"choose one of real, first, kmeans, herding, color, random, set:FILE"):
        resolve({"init": init}, blobs())


def test_a_set_that_is_not_there_is_told_before_anything_else() -> None:
    with pytest.raises(InputError, match=r"cannot read nowhere\.safetensors"):
        resolve({"init": "set:nowhere.safetensors"}, blobs())


def test_a_set_is_not_replaced_by_the_run_that_starts_from_it(tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    made(path, iterations=1, fit_steps=1)
    before = path.read_bytes()
    with pytest.raises(InputError, match="would replace what is read"):
        made(path, init=f"set:{path}", overwrite=True)
    assert path.read_bytes() == before
