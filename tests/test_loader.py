"""DistilledLoader: what it yields, the same bits again, and going on in the middle of an epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gsdd_runtime as gsdd
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.sets import container
from gsdd_runtime.splatting.gaussians import initial_gaussians


def make_set(images: int = 23, *, soft: bool = False) -> gsdd.DistilledSet:
    gaussians = initial_gaussians(images, 12, 3, 16, 16, torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(images) % 5
    if soft:
        labels = torch.nn.functional.one_hot(labels, 5).to(torch.float16)
    return gsdd.DistilledSet(gaussians, labels, 16, 16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def batches(loader: gsdd.DistilledLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(loader)


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_is_the_set_once() -> None:
    distilled = make_set()
    loader = gsdd.DistilledLoader(distilled, 8, shuffle=False)
    assert len(loader) == 3
    images = torch.cat([images for images, _ in loader])
    labels = torch.cat([labels for _, labels in loader])
    assert torch.equal(images, distilled.decode(normalize=True))
    assert torch.equal(labels, distilled.labels)


def test_shuffled_epochs_differ_and_repeat() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8, seed=3)
    first, second = batches(loader), batches(loader)
    assert loader.epoch == 2
    assert not same(first, second)
    again = gsdd.DistilledLoader(make_set(), 8, seed=3)
    assert same(batches(again), first)
    again.set_epoch(1)
    assert same(batches(again), second)
    assert not same(batches(gsdd.DistilledLoader(make_set(), 8, seed=4)), first)


def test_no_augmentation_has_two_spellings() -> None:
    spelled, left_out = (gsdd.DistilledLoader(make_set(), 8, augment=augment) for augment in ("none", None))
    assert same(batches(spelled), batches(left_out))
    assert not same(batches(spelled), batches(gsdd.DistilledLoader(make_set(), 8, augment="dsa")))


def test_each_image_of_each_batch_is_augmented_on_its_own() -> None:
    one = make_set(1)
    alike = gsdd.DistilledSet(one.gaussians.expand(24, -1, -1), torch.zeros(24, dtype=torch.int64), 16, 16)
    loader = gsdd.DistilledLoader(alike, 8, augment="dsa", normalize=False, device="cpu")
    changed = [images for _ in range(4) for images, _ in loader]
    # Twelve batches: the kind is drawn for each, and all but a flip change every image by another amount.
    several = [len({tuple(image.flatten().tolist()) for image in images}) for images in changed]
    assert max(several) == 8
    assert min(several) > 1
    assert len({tuple(images.flatten().tolist()) for images in changed}) == 12


def test_ranks_augment_differently() -> None:
    one = make_set(1)
    alike = gsdd.DistilledSet(one.gaussians.expand(16, -1, -1), torch.zeros(16, dtype=torch.int64), 16, 16)
    ranks = [
        gsdd.DistilledLoader(alike, 8, augment="dsa", normalize=False, device="cpu", rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    assert not same(*map(batches, ranks))


@pytest.mark.parametrize("augment", [None, "dsa"])
@pytest.mark.parametrize("taken", [0, 1, 3, 4, 7])
def test_goes_on_in_the_middle(taken: int, augment: str | None) -> None:
    def fresh() -> gsdd.DistilledLoader:
        return gsdd.DistilledLoader(make_set(), 8, steps=9, augment=augment)

    whole = batches(fresh())
    loader = fresh()
    iterator = iter(loader)
    for _ in range(taken):
        next(iterator)
    state = loader.state_dict()
    resumed = fresh()
    resumed.load_state_dict(state)
    assert same(batches(resumed)[: 9 - taken], whole[taken:])


def test_an_abandoned_epoch_counts_as_seen() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8)
    next(iter(loader))
    expected = gsdd.DistilledLoader(make_set(), 8)
    expected.set_epoch(1)
    assert same(batches(loader), batches(expected))


def test_resuming_finishes_the_epoch() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8)
    next(iter(loader))
    resumed = gsdd.DistilledLoader(make_set(), 8)
    resumed.load_state_dict(loader.state_dict())
    assert len(batches(resumed)) == 2
    assert resumed.epoch == 1


def test_the_length_is_that_of_the_loop() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    assert len(loader) == 3
    iterator.close()
    assert len(loader) == 3
    resumed = gsdd.DistilledLoader(make_set(), 8)
    resumed.load_state_dict(state)
    assert len(resumed) == 2
    assert [len(resumed) for _ in resumed] == [2, 2]
    assert len(resumed) == 3
    assert [len(resumed) for _ in resumed] == [3, 3, 3]
    resumed.load_state_dict(state)
    resumed.set_epoch(4)
    assert len(resumed) == 3
    stepped = gsdd.DistilledLoader(make_set(), 8, steps=7)
    stepped.load_state_dict(state)
    assert len(stepped) == len(list(stepped)) == 7


def test_ranks_share_the_set() -> None:
    distilled = make_set(24)
    seen = []
    for rank in range(3):
        loader = gsdd.DistilledLoader(distilled, 4, rank=rank, world_size=3, shuffle=False)
        seen.append(torch.cat([labels for _, labels in loader]))
    assert torch.equal(torch.stack(seen, dim=1).flatten(), distilled.labels)


def test_formats() -> None:
    loader = gsdd.DistilledLoader(make_set(soft=True), 8, dtype=torch.bfloat16, channels_last=True, size=(20, 24))
    images, labels = next(iter(loader))
    assert images.shape == (8, 3, 20, 24)
    assert images.dtype == torch.bfloat16
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.shape == (8, 5)


def test_drop_last_and_callable() -> None:
    loader = gsdd.DistilledLoader(make_set(), 8, drop_last=True, augment=lambda images: images * 0)
    sizes = [len(images) for images, _ in loader]
    assert sizes == [8, 8]
    assert all(not images.any() for images, _ in loader)


def test_a_state_of_another_run_is_refused() -> None:
    state = gsdd.DistilledLoader(make_set(), 8).state_dict()
    for other, named in (
        (gsdd.DistilledLoader(make_set(22), 8), "set"),
        (gsdd.DistilledLoader(make_set(), 4), "batch_size"),
        (gsdd.DistilledLoader(make_set(), 8, seed=1), "seed"),
        (gsdd.DistilledLoader(make_set(), 8, shuffle=False), "shuffle"),
    ):
        with pytest.raises(InputError, match=named):
            other.load_state_dict(state)
    with pytest.raises(InputError, match="damaged"):
        gsdd.DistilledLoader(make_set(), 8).load_state_dict({**state, "position": 99})


def test_a_state_of_another_share_is_refused() -> None:
    state = gsdd.DistilledLoader(make_set(), 4, rank=0, world_size=2).state_dict()
    for options, named in (({}, "world_size"), ({"rank": 0, "world_size": 2, "drop_last": True}, "drop_last")):
        with pytest.raises(InputError, match=named):
            gsdd.DistilledLoader(make_set(), 4, **options).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"decoder": "abacus"}, "abacus"),
        ({"augment": "mixup"}, "mixup"),
        ({"device": "tpu"}, "tpu"),
        ({"prefetch": -1}, "prefetch"),
        ({"steps": 0}, "steps"),
        ({"rank": 1}, "world_size"),
        ({"rank": 2, "world_size": 2}, "rank 2"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_arguments(options: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        gsdd.DistilledLoader(make_set(), **{"batch_size": 8, **options})


def test_nothing_to_normalise_with() -> None:
    distilled = make_set()
    plain = gsdd.DistilledSet(distilled.gaussians, distilled.labels, 16, 16)
    with pytest.raises(InputError, match="normalize=False"):
        gsdd.DistilledLoader(plain, 8)
    images, _ = next(iter(gsdd.DistilledLoader(plain, 8, normalize=False, shuffle=False)))
    assert torch.equal(images, distilled.decode(range(8)))


def test_a_failing_decoder_is_named() -> None:
    class Broken:
        def __len__(self) -> int:
            return 23

        def decode(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    loader = gsdd.DistilledLoader(make_set(), 8, decoder=Broken())
    with pytest.raises(GsddError, match="batch 0 of epoch 0 failed in Broken: CUDA error"):
        next(iter(loader))


def test_a_file_cut_short_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    path = tmp_path / "set.safetensors"
    make_set().save(path)
    loader = gsdd.DistilledLoader(path, 8)
    iterator = iter(loader)
    next(iterator)
    with open(path, "rb+") as file:
        file.truncate(200)
    with pytest.raises(InputError, match=r"set\.safetensors"):
        next(iterator)
    assert len(batches(gsdd.DistilledLoader(make_set(), 8))) == 3
