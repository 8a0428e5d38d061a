"""The log beside a set: its records, what a kill and a resumption leave of it, and the plan of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from distill_data import SMALL, blobs, break_loss
from test_distill_checkpoint import StopError, stop_at

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run as command
from gsdd_runtime.commands.progress_lines import line_a_minute
from gsdd_runtime.distillation import distill, plan
from gsdd_runtime.distillation.journal import Journal, is_log, read_log, up_to
from gsdd_runtime.distillation.planning import Timing
from gsdd_runtime.distillation.watching import Moment
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.formats import log_path
from gsdd_runtime.progress import Progress

DATA = blobs()


def distilled(out: Path, **options: Any) -> DistilledSet:
    return distill(DATA, device="cpu", out=out, **{**SMALL, "checkpoint_interval": 5, **options})


def kinds(log: Path) -> list[str]:
    return [record["record"] for record in read_log(log)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "set.safetensors"
    distilled(out)
    return log_path(out)


def test_a_log_tells_of_the_whole_run(undisturbed: Path) -> None:
    reports: list[Progress] = []
    made = distill(DATA, device="cpu", progress=reports.append, **SMALL)
    records = read_log(undisturbed)
    # The steps of a few seconds have no record but the first and the last of a phase.
    assert kinds(undisturbed) == ["start", "step", "step", "fitted", "step", "step", "end"]
    start, end = records[0], records[-1]
    assert start["options"] == made.options
    assert start["data"] == {
        "name": "blobs", "fingerprint": DATA.fingerprint, "classes": 3, "train_images": 30, "height": 12, "width": 16,
        "class_names": ["spot 0", "spot 1", "spot 2"],
    }  # fmt: skip
    assert start["plan"] == plan(DATA, device="cpu", **SMALL).as_dict()
    assert set(start["versions"]) == {"gsdd-rt", "torch"}
    steps = [record for record in records if record["record"] == "step"]
    by_place = {(report.phase, report.step): report for report in reports}
    assert [(one["phase"], one["step"], one["total"]) for one in steps] == [
        ("fit", 1, 8), ("fit", 8, 8), ("match", 1, 12), ("match", 12, 12),
    ]  # fmt: skip
    for one in steps:
        report = by_place[one["phase"], one["step"]]
        assert one["loss"] == pytest.approx(report.loss, rel=1e-6)
        assert one["parts"] == pytest.approx(report.parts, rel=1e-6)
        assert one["memory_bytes"] > 10**7
    assert [one["learning_rate"] for one in steps[2:]] == [1e-3, 1e-3]
    assert steps[-1]["seconds_left"] == 0
    # 8 real and 3 distilled images of each of 3 classes; a fit looks at the 9 distilled ones.
    assert steps[-1]["images_per_second"] / steps[-1]["steps_per_second"] == pytest.approx(33)
    assert steps[1]["images_per_second"] / steps[1]["steps_per_second"] == pytest.approx(9)
    assert end["loss"] == steps[-1]["loss"]
    assert end["psnr"] == records[3]["psnr"] > 10
    assert end["total_seconds"] >= steps[-1]["seconds"]


def test_no_clock_gets_into_the_set(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    distilled(out)
    assert out.read_bytes() == undisturbed.with_name("set.safetensors").read_bytes()


def test_a_resumed_run_loses_no_record_and_repeats_none(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal.__init__, "__kwdefaults__", {**Journal.__init__.__kwdefaults__, "seconds": 0.0})
    out, log = tmp_path / "set.safetensors", log_path(tmp_path / "set.safetensors")
    with pytest.raises(StopError):
        distilled(out, progress=stop_at("match", 8))
    assert [record["step"] for record in read_log(log) if record.get("phase") == "match"] == [*range(1, 8)]
    # As a kill in the middle of a line leaves it.
    with log.open("ab") as file:
        file.write(b'{"record": "step", "pha')
    distilled(out, resume=True)
    records = read_log(log)
    assert [(one["phase"], one["step"]) for one in records if one["record"] == "step"] == [
        *(("fit", step) for step in range(1, 9)), *(("match", step) for step in range(1, 13)),
    ]  # fmt: skip
    assert [record["record"] for record in records if record["record"] != "step"] == [
        "start", "fitted", "failed", "resume", "end",
    ]  # fmt: skip
    assert [one["step"] for one in records if one["record"] == "resume"] == [5]
    # Known from before.
    assert records[-1]["psnr"] == read_log(undisturbed)[-1]["psnr"]
    assert records[-1]["total_seconds"] > max(one["seconds"] for one in records[:-1])


def test_only_what_comes_again_is_taken_off() -> None:
    steps = [{"record": "step", "phase": phase, "step": step} for phase in ("fit", "match") for step in (1, 5, 8)]
    others: list[dict[str, Any]] = [{"record": "start"}, {"record": "failed", "phase": "match", "step": 9}]
    kept = up_to([*steps, *others], ["fit", "match"], "match", 5)
    assert kept == [*steps[:5], *others]
    assert up_to(steps, ["fit", "match"], "fit", 5) == steps[:2]


def test_a_loss_that_is_not_finite_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_loss(monkeypatch, step=7)
    out = tmp_path / "set.safetensors"
    with pytest.raises(GsddError, match="not finite"):
        distilled(out)
    last = read_log(log_path(out))[-1]
    assert (last["record"], last["error"]) == ("failed", "GsddError")
    assert "the loss or its gradient is not finite at step 8 of 12 of match" in last["message"]


def test_a_log_stays_unless_asked_for_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set.safetensors"
    log = log_path(out)
    log.write_text("mine\n")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"log\.jsonl exists: add --overwrite"):
            distilled(out, resume=resume)
    arguments = ["distill", "--dataset", "fashion-mnist-sample", "--out", str(out)]
    assert command(arguments) == 2
    assert "set.safetensors.log.jsonl exists: add --overwrite" in capsys.readouterr().err
    assert log.read_text() == "mine\n"
    distilled(out, overwrite=True)
    assert kinds(log)[-1] == "end"
    # Its set is gone: it is a log still.
    out.unlink()
    with pytest.raises(InputError, match=r"log\.jsonl exists"):
        distilled(out)


def test_the_log_of_a_run_that_came_to_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    with pytest.raises(StopError):
        distilled(out, progress=stop_at("fit", 2))
    assert kinds(log_path(out)) == ["start", "step", "failed"]
    distilled(out)
    assert kinds(log_path(out)) == ["start", "step", "step", "fitted", "step", "step", "end"]


def test_no_log_lands_on_what_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, out = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    distilled(first)
    log_path(out).symlink_to(first)
    before = first.read_bytes()
    with pytest.raises(InputError, match="would replace what is read"):
        distilled(out, init=f"set:{first}", overwrite=True)
    # A link to what is not read is replaced, not followed.
    distilled(out, overwrite=True)
    assert first.read_bytes() == before
    assert not log_path(out).is_symlink()


@pytest.mark.parametrize("content", ["1\n", "[]\n", '{"record": 1}\n', '{"record": "start"}\nx\n', "\n"])
def test_another_file_is_no_log(content: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(InputError, match="is not the log of a run: line"):
        read_log(path)
    assert not is_log(path)


def test_a_number_that_is_not_finite_is_json_still(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log")
    journal.write("odd", loss=float("nan"), parts={"a": float("-inf")})
    journal.close()

    def refuse(word: str) -> None:
        raise AssertionError(word)

    (line,) = (tmp_path / "log").read_text().splitlines()
    record = json.loads(line, parse_constant=refuse)
    assert (record["loss"], record["parts"]) == ("nan", {"a": "-inf"})


def test_records_of_steps_come_every_few_seconds(tmp_path: Path) -> None:
    now = [0.0]
    journal = Journal(tmp_path / "log", seconds=5.0, clock=lambda: now[0])
    for step in range(1, 13):
        now[0] += 2.0
        journal.saw(Moment("match", step, 12, 0.5, images=10))
    journal.close()
    records = read_log(tmp_path / "log")
    assert [record["step"] for record in records] == [1, 4, 7, 10, 12]
    assert [record["steps_per_second"] for record in records] == [None, *[pytest.approx(0.5)] * 4]
    assert records[1]["images_per_second"] == pytest.approx(5)
    assert records[1]["seconds_left"] == pytest.approx(16)


def test_a_plan_is_told_first_and_what_it_takes_after_some_steps() -> None:
    told: list[str] = []

    def first(progress: Progress) -> None:
        assert len(told) == 1
        raise StopError

    with pytest.raises(StopError):
        distill(DATA, device="cpu", progress=first, say=told.append, **SMALL)
    assert told[0].startswith(
        "9 images of 18 Gaussians (3 a class, 0.8 kB a class), 8 steps of fitting, then 12 steps of 1 pass by dm with "
        "convnet1-w8 on cpu; about "
    )
    assert re.search(r" of memory beside [\d.]+ [MG]B that PyTorch and the data take", told[0])
    now = [0.0]
    timing = Timing(told.append, seconds=5.0, clock=lambda: now[0])
    for step in range(1, 40):
        now[0] += 2.0
        timing.saw(Moment("match", step, 1000, 0.5))
    assert told[1:] == ["match: 0.5 steps a second, about 33 min left"]


def test_a_plan_without_a_step_names_no_objective() -> None:
    told = plan(DATA, device="cpu", **{**SMALL, "iterations": 0}).text()
    assert told.startswith(
        "9 images of 18 Gaussians (3 a class, 0.8 kB a class), 8 steps of fitting, then no matching, on cpu; about "
    )


def test_a_plan_counts_passes_and_the_images_of_one() -> None:
    whole = plan(DATA, device="cpu", **SMALL)
    parts = plan(DATA, device="cpu", classes_per_pass=2, **SMALL)
    one = plan(DATA, device="cpu", classes_per_pass=1, **SMALL)
    assert [each.passes for each in (whole, parts, one)] == [1, 2, 3]
    memory = [each.memory_bytes or 0 for each in (whole, parts, one)]
    # By the images whose graph is kept: 9, 6, 3.
    assert memory[0] - memory[1] == pytest.approx(memory[1] - memory[2], abs=2)
    assert memory[1] - memory[2] > 3 * 8 * 12 * 16 * 4
    assert (whole.bytes_per_class, whole.gaussians_per_image) == (3 * 18 * 7 * 2, 18)
    assert plan(DATA, representation="pixels", device="cpu").gaussians_per_image is None


def test_a_plan_of_coded_pixels_tells_their_bytes_and_not_those_of_plain_ones() -> None:
    options: dict[str, Any] = {"representation": "pixels", "device": "cpu", "gpc": 4, "ipc": 4}
    values = 4 * 12 * 16
    data = blobs(channels=1)
    assert plan(data, **options).bytes_per_class == 2 * values
    # What a value of 8 bits, and of 2, is expected to take: tests/test_distill_coding.py holds it to what it takes.
    assert 5 < 8 * plan(data, coding="entropy", pixel_bits=8, **options).bytes_per_class / values < 8
    half = plan(data, coding="entropy", pixel_bits=2, downscale=2, **options)
    assert 1 < 8 * half.bytes_per_class / (values / 4) < 2


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--network convnet1-w4 --gpc 8 --iterations 7 --dry-run --device cpu --dataset fashion-mnist-sample"
    assert command(["distill", *arguments.split(), "--out", str(tmp_path / "set.safetensors")]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "80 images of 28 Gaussians (8 a class, 3.1 kB a class), 1000 steps of fitting, then 7"
    )
    assert captured.err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_line_a_minute_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    report = line_a_minute(lambda: now[0])
    for step in range(1, 14):
        now[0] += 10
        report(Progress("match", step, 100, 0.125))
    assert capsys.readouterr().err.splitlines() == [
        "gsdd-rt: match: 6 of 100, loss 0.125, 0.1/s, 16 min left",
        "gsdd-rt: match: 12 of 100, loss 0.125, 0.1/s, 15 min left",
    ]


def test_the_end_of_what_lines_told_of_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    report = line_a_minute(lambda: now[0])
    for phase, steps in (("training", 8), ("check", 3), ("training", 8)):
        for step in range(1, steps + 1):
            now[0] += 10
            report(Progress(phase, step, steps))
    assert capsys.readouterr().err.splitlines() == [
        "gsdd-rt: training: 6 of 8, 0.1/s, 20 s left",
        "gsdd-rt: training: 8 of 8, 0.1/s",
        # Of a phase of less than a minute nothing.
        "gsdd-rt: training: 3 of 8, 0.1/s, 50 s left",
        "gsdd-rt: training: 8 of 8, 0.1/s",
    ]
