"""One of two processes is killed in each phase: the other ends, and one process goes on to what one writes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import kill_job
import pytest
import rank_job
import torch
from easy_data import easy_data
from teacher_data import teacher_of
from test_ranks import FORKS, free_port, names

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.experts import make_experts
from gsdd_runtime.progress import silent
from gsdd_runtime.sets.distilled_set import DistilledSet

KILLED = -9
Job = Callable[..., None]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As every rank has: the number has a part in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with experts of blobs and of easy images, and a teacher with batch norms."""
    folder = tmp_path_factory.mktemp("kills")
    make_experts(rank_job.data(), folder / "experts", **rank_job.TEACHERS)
    teacher_of(folder / "teacher.safetensors", rank_job.data(), "convnet1-w4-batch")
    (folder / "easy").mkdir()
    make_experts(easy_data(), folder / "easy" / "experts", **rank_job.TEACHERS)
    return folder


def ended(job: Job, name: str, victim: int, moment: int, by_sum: bool, folder: Path) -> list[int | None]:
    """Exit codes of two ranks of whom one is killed; none may be left waiting for the other."""
    port = free_port()
    arguments = (kill_job.killed, job, name, victim, moment, by_sum, folder)
    processes = [FORKS.Process(target=rank_job.as_rank, args=(rank, 2, port, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def codes(victim: int) -> list[int]:
    return [KILLED if rank == victim else kill_job.LOST for rank in (0, 1)]


# Three steps of fitting, three of matching, one all-reduce in each: who is killed before which, and what was kept.
DISTILLED = {
    "dm fits": ("dm", 1, 3, ("fit", 2)),
    "dm": ("dm", 1, 5, ("match", 1)),
    "dm, the first is killed": ("dm", 0, 6, ("match", 2)),
    "dm in turn": ("dm in turn", 1, 5, ("match", 1)),
    "dm, judged": ("judged", 1, 6, ("match", 2)),
    "dc": ("dc", 1, 6, ("match", 2)),
    "ncfm": ("ncfm", 0, 5, ("match", 1)),
    "squeeze": ("squeeze", 1, 5, ("match", 1)),
    "tm": ("tm", 1, 5, ("match", 1)),
}


@pytest.mark.parametrize(("name", "victim", "moment", "kept"), DISTILLED.values(), ids=DISTILLED)
def test_distilling_goes_on_from_the_step_before(
    name: str, victim: int, moment: int, kept: tuple[str, int], place: Path
) -> None:
    torn, whole = place / f"torn {name} {moment}", place / f"whole {name}"
    torn.mkdir()
    whole.mkdir(exist_ok=True)
    assert ended(kill_job.distilled, name, victim, moment, True, torn) == codes(victim)
    file = f"{name}.safetensors"
    left = Checkpoint.load(torn / f"{file}.checkpoint")
    assert (left.phase, left.step) == kept
    assert not (torn / file).exists()
    for folder in (torn, whole):
        kill_job.distilled(name, folder, silent)
    if name != "tm":
        assert (torn / file).read_bytes() == (whole / file).read_bytes()
        return
    # Two processes sum up trajectories in another order than one.
    made, expected = (DistilledSet.load(folder / file).gaussians for folder in (torn, whole))
    assert made is not None
    assert expected is not None
    assert (made.float() - expected.float()).abs().max() < 0.01


# The report that a process is killed at, and the files that are there when one goes on.
OTHERS: dict[str, tuple[Job, int, int]] = {
    "fit, the first part of the second": (kill_job.fitted, 1, 1),
    "fit, the second part of the first": (kill_job.fitted, 0, 3),
    "experts": (kill_job.experts, 1, 4),
    "eval": (kill_job.evaluated, 1, 2),
    "relabel": (kill_job.relabeled, 0, 1),
    "relabel views": (kill_job.views_labeled, 1, 2),
}


@pytest.mark.parametrize(("job", "victim", "moment"), OTHERS.values(), ids=OTHERS)
def test_other_work_goes_on_or_is_done_again(job: Job, victim: int, moment: int, place: Path) -> None:
    torn, whole = place / "easy" / f"torn {job.__name__} {moment}", place / "easy" / f"whole {job.__name__}"
    torn.mkdir()
    whole.mkdir(exist_ok=True)
    assert ended(job, "", victim, moment, False, torn) == codes(victim)
    before = {name: (torn / name).read_bytes() for name in names(torn)}
    for folder in (torn, whole):
        job("", folder, silent)
    assert names(torn) == names(whole)
    for name in names(whole):
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name
    # What was whole when the process was killed is what the end has, and not made again.
    parts = {name for name in before if name in names(whole)}
    assert all(before[name] == (whole / name).read_bytes() for name in parts)
    assert bool(parts) == (job is kill_job.experts)
