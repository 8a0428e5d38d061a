"""Sets judged on the way: on images that the run does not see, the best kept; pictures; several seeds in one table."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from easy_data import easy_data
from PIL import Image
from test_distill_checkpoint import StopError, stop_at

import gsdd_runtime as gsdd
from gsdd_runtime import DistilledSet, RealData
from gsdd_runtime.commands.cli import run as command
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.choosing import Choosing
from gsdd_runtime.distillation.held_out import hold_out
from gsdd_runtime.distillation.journal import Journal, last_of, read_log
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.light import light_choosing
from gsdd_runtime.formats import best_path, log_path, pictures_path
from gsdd_runtime.progress import Progress

DATA = blobs()
# Accuracies of the sets after steps 4, 8 and 12.
CURVE = {4: 0.25, 8: 0.75, 12: 0.5}


class Judge:
    """Follows a curve; remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[DistilledSet, RealData]] = []
        self.step = 0

    def report(self, progress: Progress) -> None:
        self.step = progress.step

    def __call__(self, made: DistilledSet, data: RealData) -> float:
        self.seen.append((made, data))
        # The report of a step comes before its judgement.
        return CURVE[self.step]


def distilled(out: Path | None, judge: Judge | None = None, **options: Any) -> DistilledSet:
    judge = judge or Judge()
    choosing = Choosing(4, judge, {"by": "a curve"}, on_test=options.pop("on_test", False))
    settings = {**SMALL, "held_out": 0.2, "progress": judge.report, "choosing": choosing, **options}
    return distill(DATA, device="cpu", out=out, **settings)


def held(data: RealData, share: float = 0.2, seed: int = 0) -> set[bytes]:
    return {image.numpy().tobytes() for image in hold_out(data, share, seed)[1].test_images}


def test_held_out_images_are_a_share_of_each_class_by_the_seed() -> None:
    seen, judged = hold_out(DATA, 0.2, 0)
    assert seen.train_labels.bincount().tolist() == [8, 8, 8]
    assert judged.test_labels.bincount().tolist() == [2, 2, 2]
    both = torch.cat([seen.train_images, judged.test_images])
    assert sorted(image.numpy().tobytes() for image in both) == sorted(
        image.numpy().tobytes() for image in DATA.train_images
    )
    for image, label in zip(judged.test_images, judged.test_labels, strict=True):
        (place,) = (DATA.train_images == image).flatten(1).all(dim=1).nonzero().flatten().tolist()
        assert DATA.train_labels[place] == label
    assert held(DATA) == held(DATA) != held(DATA, seed=1)
    assert (seen.mean, seen.fingerprint) == (DATA.mean, DATA.fingerprint)
    # One image at least.
    assert hold_out(DATA, 0.01, 0)[1].test_labels.bincount().tolist() == [1, 1, 1]
    for share in (-0.1, 0.6, float("nan")):
        with pytest.raises(InputError, match="held_out must be"):
            hold_out(DATA, share, 0)
    with pytest.raises(InputError, match="none of which can be held out"):
        hold_out(blobs(per_class=1), 0.2, 0)


def test_a_run_never_sees_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: set[bytes] = set()
    honest = RealImages.inputs

    def watched(self: RealImages, positions: torch.Tensor) -> torch.Tensor:
        given.update(image.numpy().tobytes() for image in self._bytes(positions))
        return honest(self, positions)

    monkeypatch.setattr(RealImages, "inputs", watched)
    judge = Judge()
    made = distilled(tmp_path / "set.safetensors", judge)
    assert len(given) == 24
    assert not given & held(DATA)
    assert {image.numpy().tobytes() for image in judge.seen[0][1].test_images} == held(DATA)
    assert made.options["held_out"] == 0.2
    # Another run than one that sees all.
    assert not torch.equal(made.decode(), distill(DATA, device="cpu", **SMALL).decode())


def test_the_best_set_is_kept_beside_the_last(tmp_path: Path) -> None:
    out, judge = tmp_path / "set.safetensors", Judge()
    made = distilled(out, judge)
    best = DistilledSet.load(best_path(out))
    assert len(judge.seen) == 3
    assert torch.equal(best.decode(), judge.seen[1][0].decode())
    assert torch.equal(DistilledSet.load(out).decode(), judge.seen[2][0].decode())
    assert not torch.equal(best.decode(), made.decode())
    assert best.options["chosen"] == {"step": 8, "accuracy": 0.75, "by": "a curve"}
    assert "chosen" not in made.options
    records = read_log(log_path(out))
    judged = [(one["step"], one["accuracy"], one["protocol"]) for one in records if one["record"] == "judged"]
    assert judged == [(step, accuracy, {"by": "a curve"}) for step, accuracy in CURVE.items()]
    assert records[-1]["best"] == {"step": 8, "accuracy": 0.75}
    assert records[-1]["last"] == 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "set.best.safetensors", "set.safetensors", "set.safetensors.log.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("moment", [8, 10])
def test_a_killed_run_keeps_its_best_and_ends_the_same(moment: int, tmp_path: Path) -> None:
    out, judge = tmp_path / "set.safetensors", Judge()
    undisturbed = tmp_path / "undisturbed.safetensors"
    distilled(undisturbed)
    stop = stop_at("match", moment)

    def report(progress: Progress) -> None:
        judge.report(progress)
        stop(progress)

    with pytest.raises(StopError):
        distilled(out, judge, progress=report, checkpoint_interval=5)
    distilled(out, judge, resume=True, checkpoint_interval=5)
    for path in (lambda out: out, best_path):
        assert path(out).read_bytes() == path(undisturbed).read_bytes()
    # Once each: a judgement is followed by a checkpoint.
    assert len(judge.seen) == 3
    steps = [one["step"] for one in read_log(log_path(out)) if one["record"] == "judged"]
    assert steps == [4, 8, 12]


def test_judging_changes_nothing_in_the_set(tmp_path: Path) -> None:
    data = easy_data()
    options = {"network": "convnet1-w4", "gpc": 2, "iterations": 2, "fit_steps": 2, "batch_real": 4, "device": "cpu"}
    out = tmp_path / "set.safetensors"
    light = light_choosing(1, on="test", epochs=2, device="cpu")
    distill(data, out=out, choosing=light, **options)
    plain = tmp_path / "plain.safetensors"
    distill(data, out=plain, **options)
    assert out.read_bytes() == plain.read_bytes()
    last = last_of(read_log(log_path(out)), "judged")
    assert last is not None
    same = evaluate(
        DistilledSet.load(out), data, network="convnet1-w4", epochs=2, repeats=1, seed=0, device="cpu"
    )  # fmt: skip
    assert last["accuracy"] == same.last_epoch_mean
    assert last["protocol"] == {"on": "test", "networks": 1, "epochs": 2, "seed": 0}


def test_what_sets_cannot_be_judged_on_is_told_first(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    with pytest.raises(InputError, match=r"give held_out, such as 0\.1"):
        distilled(out, held_out=0.0)
    without = dataclasses.replace(DATA, test_images=DATA.test_images[:0], test_labels=DATA.test_labels[:0])
    choosing = Choosing(4, Judge(), {}, on_test=True)
    with pytest.raises(InputError, match="iterations is 0: judge it by gsdd-rt eval"):
        distilled(out, iterations=0)
    with pytest.raises(InputError, match="blobs has no test image to judge sets on"):
        distill(without, out=out, device="cpu", choosing=choosing, **SMALL)
    for name, value in (("choosing", choosing), ("picture_every", 3), ("tensorboard", tmp_path)):
        with pytest.raises(InputError, match=f"{name} needs out"):
            distill(DATA, device="cpu", **{**SMALL, name: value})
    for every in (0, 1.5):
        with pytest.raises(InputError, match="eval_every must be a whole number"):
            Choosing(every, Judge(), {})  # type: ignore[arg-type]
    for words in ({"on": "train"}, {"epochs": 0}):
        with pytest.raises(InputError, match="eval_"):
            light_choosing(3, **words)  # type: ignore[arg-type]
    best_path(out).write_text("mine")
    with pytest.raises(InputError, match=r"best\.safetensors exists: add --overwrite"):
        distilled(out)
    assert [path.name for path in tmp_path.iterdir()] == ["set.best.safetensors"]


def test_pictures_are_drawn_into_a_folder_beside_the_set(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    made = distill(DATA, device="cpu", out=out, picture_every=5, **SMALL)
    folder = pictures_path(out)
    names = [f"{phase}-{step:07d}.png" for phase, step in (("fit", 8), ("match", 5), ("match", 10), ("match", 12))]
    assert sorted(path.name for path in folder.iterdir()) == names
    from gsdd_runtime.sets.pictures import grid

    with Image.open(folder / names[-1]) as picture:
        assert picture.tobytes() == grid(made.decode(), 3, DATA.class_names).tobytes()
    (folder / "match-0000099.png").write_bytes(b"")
    with pytest.raises(InputError, match="holds something already: add --overwrite"):
        distill(DATA, device="cpu", out=out, picture_every=5, **SMALL)
    distill(DATA, device="cpu", out=out, picture_every=5, overwrite=True, **SMALL)
    assert sorted(path.name for path in folder.iterdir()) == names
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already"):
        distill(DATA, device="cpu", out=out, picture_every=5, overwrite=True, **SMALL)


def test_tensorboard_gets_numbers_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, board = tmp_path / "set.safetensors", tmp_path / "board"
    distilled(out, tensorboard=board, picture_every=5)
    events = {}
    for phase in ("fit", "match"):
        events[phase] = EventAccumulator(str(board / "set" / phase))
        events[phase].Reload()
    last = last_of(read_log(log_path(out)), "step")
    assert last is not None
    assert [event.step for event in events["match"].Scalars("loss")] == [1, 12]
    assert events["match"].Scalars("loss")[-1].value == pytest.approx(last["loss"])
    assert events["match"].Scalars("parts/penalty")[-1].value == pytest.approx(last["parts"]["penalty"])
    assert [event.value for event in events["match"].Scalars("accuracy")] == [0.25, 0.75, 0.5]
    assert [event.step for event in events["match"].Images("images")] == [5, 10, 12]
    assert [event.step for event in events["fit"].Scalars("loss")] == [1, 8]


def test_tensorboard_that_is_not_there_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"tensorboard is not installed .* pip install 'gsdd-rt\[tensorboard\]'"):
        distilled(tmp_path / "set.safetensors", tensorboard=tmp_path / "board")
    # Before anything is written.
    assert list(tmp_path.iterdir()) == []


COMMAND = (
    "distill --dataset fashion-mnist-sample --network convnet1-w4 --gpc 4 --iterations 2 --fit-steps 2 "
    "--batch-real 4 --device cpu --out"
)


def test_several_seeds_make_sets_and_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set.safetensors"
    words = [*COMMAND.split(), str(out), "--seeds", "2", "--seed", "5", "--eval-every", "2", "--eval-epochs", "1"]
    assert command(words) == 0
    lines = capsys.readouterr().out.splitlines()
    sets = [gsdd.DistilledSet.load(tmp_path / f"set.seed{seed}.safetensors") for seed in (5, 6)]
    assert [one.seed for one in sets] == [5, 6]
    assert not torch.equal(sets[0].decode(), sets[1].decode())
    assert [one.options["held_out"] for one in sets] == [0.1, 0.1]
    assert not out.exists()
    ends = [read_log(log_path(tmp_path / f"set.seed{seed}.safetensors"))[-1] for seed in (5, 6)]
    assert lines[0].split()[:3] == ["set", "seed", "bytes"]
    for line, seed, end in zip(lines[1:3], (5, 6), ends, strict=True):
        assert line.startswith(f"set.seed{seed}.safetensors  {seed}  ")
        for words_ in (f"{end['psnr']:.2f} dB", f"{end['loss']:.5g}", f"{100 * end['last']:.2f} %", "at 2"):
            assert words_ in line
    mean = sum(end["psnr"] for end in ends) / 2
    assert lines[3].startswith("mean of 2")
    assert f"{mean:.2f} +- {abs(ends[0]['psnr'] - mean):.2f}" in lines[3]
    # Finished ones are taken as they are, and the table is the same.
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert command([*words, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_options_of_judging_go_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--eval-on", "test"], ["--eval-epochs", "3"]):
        assert command([*COMMAND.split(), str(tmp_path / "set.safetensors"), *words]) == 2
        assert f"{words[0]} is of judging on the way: give --eval-every too" in capsys.readouterr().err


def test_a_log_that_is_lost_leaves_gaps_in_the_table(tmp_path: Path) -> None:
    from gsdd_runtime.commands.several import run_document, table

    out = tmp_path / "set.safetensors"
    made = distill(DATA, device="cpu", out=out, **SMALL)
    log_path(out).unlink()
    assert table([run_document(out, made)]).splitlines()[1].split()[-3:] == ["-", "-", "-"]
    Journal(log_path(out)).close()
    assert table([run_document(out, made)] * 2).splitlines()[3].startswith("mean of 2")
