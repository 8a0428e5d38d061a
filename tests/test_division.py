"""Images divided over the processes of a run by class: who holds which, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import torch
from distill_data import blobs
from safetensors.torch import load_file, save_file
from torch import Tensor

from gsdd_runtime import ranks
from gsdd_runtime.distillation import division as divisions
from gsdd_runtime.distillation import plan
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.options import resolve
from gsdd_runtime.distillation.representations import GaussianRepresentation
from gsdd_runtime.distillation.sharing import division_of
from gsdd_runtime.errors import GsddError
from gsdd_runtime.ranks import Ranks
from gsdd_runtime.sets.streamed import Streamed, write_streamed
from gsdd_runtime.splatting import gaussians as splatted
from gsdd_runtime.splatting.gaussians import initial_gaussians

HEIGHT, WIDTH = 6, 5


class Posting(Ranks):
    """Ranks of one process: what one sends lies in its queue until the first asks for it."""

    queues: list[SimpleQueue[Tensor]]

    def collected(self, mine: Tensor, sizes: Any) -> list[Tensor]:
        assert len(mine) == sizes[self.rank]
        if not self.first:
            self.queues[self.rank].put(mine)
            return []
        parts = [self.queues[rank].get_nowait() for rank in range(1, self.count)]
        # Of nothing no form is sent.
        return [mine, *(part if len(part) else mine[:0] for part in parts)]

    def wait(self) -> None:
        """They come one after the other."""


def divisions_of(classes: int, gpc: int, count: int) -> list[Division]:
    """Of every rank, the first at the end."""
    Posting.queues = [SimpleQueue() for _ in range(count)]
    return [Division(classes, gpc, Posting(rank, count)) for rank in reversed(range(count))]


@pytest.mark.parametrize(("classes", "gpc", "count"), [(4, 2, 3), (7, 3, 2), (5, 1, 5), (9, 2, 4), (1, 3, 1)])
def test_every_image_has_one_holder_who_has_its_whole_class(classes: int, gpc: int, count: int) -> None:
    found = divisions_of(classes, gpc, count)
    assert torch.cat([one.held for one in found]).sort().values.equal(torch.arange(classes * gpc))
    for one in found:
        assert one.images == classes * gpc
        assert one.held.equal(torch.cat([torch.arange(gpc) + index * gpc for index in one.own]))
        assert one.local(one.held).equal(torch.arange(len(one.held)))
        assert list(one.own) == list(range(one.ranks.rank, classes, count))


def test_an_image_that_another_process_holds_is_refused() -> None:
    one = Division(4, 2, Ranks(1, 3))
    assert one.local(torch.tensor([3, 2])).tolist() == [1, 0]
    with pytest.raises(GsddError, match="images of one that another process holds"):
        one.local(torch.tensor([2, 4]))


@pytest.mark.parametrize("piece", [1, 150, 1 << 20])
@pytest.mark.parametrize(("classes", "gpc", "count"), [(4, 2, 3), (7, 3, 2), (9, 2, 4)])
def test_the_first_process_gets_all_images_in_their_order(
    classes: int, gpc: int, count: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divisions, "PIECE_BYTES", piece)
    images = torch.rand(classes * gpc, 2, 3)
    for one in divisions_of(classes, gpc, count):
        mine = images[one.held]
        whole = one.whole(lambda rows, mine=mine: mine[rows])  # type: ignore[misc]
    assert whole is not None
    assert whole.equal(images)


@pytest.mark.parametrize(("classes", "gpc", "count"), [(4, 2, 3), (7, 3, 2), (9, 2, 4)])
def test_a_few_images_come_in_their_order_whoever_holds_them(classes: int, gpc: int, count: int) -> None:
    images = torch.rand(classes * gpc, 2, 3)
    for wanted in ([0], [gpc, 0, 1], [classes * gpc - 1, 0, 2, gpc]):
        for one in divisions_of(classes, gpc, count):
            mine = images[one.held]
            found = one.picked(torch.tensor(wanted), lambda rows, mine=mine: mine[rows])  # type: ignore[misc]
            assert (found is None) == (one.ranks.rank > 0)
        assert found is not None
        assert found.equal(images[wanted])


@pytest.mark.parametrize("form", [(3, 4), (1,), ()])
def test_a_file_that_is_written_in_pieces_is_the_library_s(form: tuple[int, ...], tmp_path: Path) -> None:
    tensors = {"optimizer/color/step": torch.tensor(3.0), "a é": torch.rand(5), "parameter/color": torch.rand(7, *form)}
    metadata = {"gsdd": '{"a": "\\u00e9 é\\n\x7f"}', "b": "\t"}
    save_file(tensors, tmp_path / "whole", metadata=dict(list(metadata.items())[:1]))

    def pieces() -> Iterator[Tensor]:
        yield from tensors["parameter/color"].split(2)

    streamed = {**tensors, "parameter/color": Streamed((7, *form), pieces)}
    write_streamed(tmp_path / "pieces", dict(list(metadata.items())[:1]), streamed)
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    write_streamed(tmp_path / "pieces", metadata, streamed)
    assert load_file(tmp_path / "pieces")["parameter/color"].equal(tensors["parameter/color"])
    with pytest.raises(ValueError, match=r"labels is torch\.int64"):
        write_streamed(tmp_path / "pieces", {}, {"labels": torch.zeros(2, dtype=torch.int64)})


@pytest.mark.parametrize("count", [1, 5])
def test_some_gaussians_start_as_they_do_among_all(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splatted, "IMAGES_AT_ONCE", 4)
    options = (11, count, 3, HEIGHT, WIDTH)
    whole = initial_gaussians(*options, torch.Generator().manual_seed(1))
    for kept in ([0, 1, 6, 7], [10], [4, 5, 6, 7, 8], []):
        rows = torch.tensor(kept, dtype=torch.int64)
        assert initial_gaussians(*options, torch.Generator().manual_seed(1), rows).equal(whole[rows])


def test_the_penalty_of_a_part_is_its_share() -> None:
    start = initial_gaussians(5, 4, 1, HEIGHT, WIDTH, torch.Generator().manual_seed(1))
    whole = GaussianRepresentation(start, HEIGHT, WIDTH)
    total = whole.penalty()
    assert total is not None
    total.backward()
    shares = []
    for rows in ([0, 3], [1, 2, 4]):
        part = GaussianRepresentation(start[rows], HEIGHT, WIDTH)
        part.among = 5
        share = part.penalty()
        assert share is not None
        share.backward()
        shares.append(share.item())
        assert part.parameters()["position"].grad.equal(whole.parameters()["position"].grad[rows])  # type: ignore[union-attr, index]
    assert sum(shares) == pytest.approx(total.item())


def test_images_are_asked_for_by_their_place_among_all() -> None:
    data, held = blobs(4), Division(4, 2, Ranks(1, 3))
    start = initial_gaussians(8, 3, 1, HEIGHT, WIDTH, torch.Generator().manual_seed(1))
    whole = SyntheticImages(GaussianRepresentation(start, HEIGHT, WIDTH), data.preparation)
    part = SyntheticImages(GaussianRepresentation(start[held.held], HEIGHT, WIDTH), data.preparation, held)
    assert len(whole) == len(part) == 8
    wanted = torch.tensor([3, 2])
    assert part.leaf(wanted).equal(whole.leaf(wanted))
    assert part.now(wanted).equal(whole.now(wanted))
    with pytest.raises(GsddError, match="another process"):
        part.now(torch.tensor([0]))


def test_a_checkpoint_gives_a_process_its_own_rows(tmp_path: Path) -> None:
    tensors = {
        "parameter/color": torch.rand(8, 2, 3), "optimizer/color/exp_avg": torch.rand(8, 2, 3),
        "optimizer/color/step": torch.tensor(3.0), "learned/rate": torch.rand(8), "other": torch.rand(8),
        "optimizer/rate/exp_avg": torch.rand(8),
    }  # fmt: skip
    path = tmp_path / "set.checkpoint"
    Checkpoint("match", 3, {}, "sha256:00", dict(tensors)).save(path)
    held = Division(4, 2, Ranks(1, 3))
    found = Checkpoint.load(path, held).tensors
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].equal(tensor[[2, 3]] if "color" in name and tensor.dim() else tensor)
    # Of another run: what has no row for each image is left to whoever compares forms.
    assert len(Checkpoint.load(path, Division(5, 2, Ranks(1, 3))).tensors["parameter/color"]) == 8


@pytest.mark.parametrize(
    ("options", "divided"),
    [
        ({"method": "dm"}, True),
        ({"method": "dm", "update": "class", "representation": "pixels", "gpc": 2}, True),
        ({"method": "ncfm"}, True),
        ({"method": "dm", "coding": "entropy"}, False),
        ({"method": "dc"}, False),
    ],
    ids=str,
)
def test_images_are_divided_where_the_loss_of_a_class_needs_no_other(options: dict[str, Any], divided: bool) -> None:
    resolved = resolve({"device": "cpu", "network": "convnet1-w4", **options}, blobs(4))
    assert (division_of(resolved, Ranks(0, 3)) is not None) == divided
    assert division_of(resolved, Ranks(0, 1)) is None
    assert division_of(resolved, Ranks(0, 5)) is None


def test_the_plan_falls_with_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"device": "cpu", "network": "convnet1-w4", "gpc": 2, "batch_real": 4, "classes_per_pass": 1}
    alone = plan(blobs(4), **options)
    monkeypatch.setattr(ranks, "_joined", Ranks(1, 2))
    shared = plan(blobs(4), **options)
    assert alone.memory_bytes is not None
    assert shared.memory_bytes is not None
    masters = 4 * 2 * (alone.gaussians_per_image or 0) * 7 * 4
    assert alone.memory_bytes - shared.memory_bytes == 4 * masters // 2
    assert (shared.images, shared.bytes_per_class) == (alone.images, alone.bytes_per_class)
    assert " of memory in each of 2 processes" in shared.text()
    assert "processes" not in alone.text()
