"""What ``gsdd-rt info`` says of each file and folder of ours: its kind, in words, and facts by name, JSON values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import SUFFIXES, suffix_of

if TYPE_CHECKING:
    from gsdd_runtime.sets.container import Kind

Described = tuple[str, dict[str, Any]]
# In the words of a message.
KNOWN = "a set, a trained network, labels of views, experts (the folder or a file), or a run's checkpoint, parts or log"


def described(path: Path, network: str | None) -> Described | None:
    """What is told of a file or folder that is neither a set nor a trained network; None of whatever may be one.

    Args:
        path: of it.
        network: that the user says experts are of, where that is code of theirs.

    Raises:
        InputError: it is damaged, or something that nothing is told of.
    """
    from gsdd_runtime.distillation import checkpoint, fitted_data
    from gsdd_runtime.experts import trajectory
    from gsdd_runtime.experts.description import trajectory_description, unfinished_description
    from gsdd_runtime.networks.outside import permit
    from gsdd_runtime.sets.container import kind_of
    from gsdd_runtime.training import view_labels

    permit(network)
    if path.is_dir():
        return _folder(path)
    tellers: dict[Kind, tuple[str, Callable[[Path], dict[str, Any]]]] = {
        view_labels.KIND: ("labels of views", _view_labels),
        trajectory.KIND: ("expert", trajectory_description),
        trajectory.UNFINISHED: ("unfinished expert", unfinished_description),
        checkpoint.KIND: ("checkpoint of a run", _checkpoint),
        fitted_data.KIND: ("part of a fitted dataset", _fitted_part),
    }
    kind = kind_of(path, tuple(tellers))
    if kind is not None:
        name, tell = tellers[kind]
        return name, tell(path)
    suffix = suffix_of(path)
    if suffix == ".jsonl" and path.is_file():
        return "log of a run", _log(path)
    if suffix not in ("", ".safetensors", ".checkpoint") and path.is_file():
        raise InputError(f"{path} is {SUFFIXES[suffix]} by its name, of which nothing is told: give {KNOWN}")
    return None


def _folder(path: Path) -> Described:
    from gsdd_runtime.experts import ExpertFolder
    from gsdd_runtime.experts.description import experts_description
    from gsdd_runtime.experts.folder import trajectory_files

    if trajectory_files(path):
        return "experts", experts_description(ExpertFolder(path))
    parts = sorted(path.glob("part-*.safetensors"))
    if parts:
        return "parts of a fitted dataset", {"parts": len(parts), **_fitted_part(parts[0])}
    raise InputError(f"{path} is a folder that holds no experts: give {KNOWN}")


def _view_labels(path: Path) -> dict[str, Any]:
    from gsdd_runtime.training.view_labels import load_view_labels, view_labels_description

    return view_labels_description(load_view_labels(path))


def _checkpoint(path: Path) -> dict[str, Any]:
    from gsdd_runtime.distillation.checkpoint import Checkpoint

    found = Checkpoint.described(path)
    return {
        "phase": found.phase,
        "step": found.step,
        "of_steps": found.options.get("fit_steps" if found.phase == "fit" else "iterations"),
        "set": str(path).removesuffix(".checkpoint"),
        "resumed": len(found.history),
        "go_on": "gsdd-rt distill ... --resume, with the same --out",
        "options": found.options,
        "fingerprint": found.fingerprint,
    }


def _fitted_part(path: Path) -> dict[str, Any]:
    from gsdd_runtime.distillation.fitted_data import KIND
    from gsdd_runtime.sets.container import open_container

    container = open_container(path, KIND)
    gaussians = container.tensors().get("gaussians")
    if gaussians is None or gaussians.dim() != 3:
        raise InputError(f"{path} is damaged: {KIND.again}")
    return {
        "images_of_a_part": len(gaussians),
        "gaussians_per_image": gaussians.shape[1],
        "go_on": "gsdd-rt fit ... --resume, with the same --out",
        "options": container.fields.get("record"),
        "seed": container.fields.get("seed"),
        "fingerprint": container.fields.get("data"),
    }


def _log(path: Path) -> dict[str, Any]:
    from gsdd_runtime.distillation.choosing import JUDGED
    from gsdd_runtime.distillation.journal import STEP, read_log
    from gsdd_runtime.distillation.unfinished import has_ended
    from gsdd_runtime.reports.account import data_name, run_status

    records = read_log(path)
    out = path.with_name(path.name.removesuffix(".log.jsonl"))
    start: dict[str, Any] = next((record for record in records if record["record"] == "start"), {})
    try:
        status = run_status(records, ended=has_ended(records, out))
        best = max((float(record["accuracy"]) for record in records if record["record"] == JUDGED), default=None)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not the log of a run of gsdd-rt distill: a record lacks its fields") from error
    return {
        "status": status,
        "set": str(out),
        "dataset": data_name(records),
        "began": start.get("time"),
        "records": len(records),
        "loss": next((record.get("loss") for record in reversed(records) if record["record"] == STEP), None),
        "best_accuracy": best,
        "device": start.get("device"),
        "options": start.get("options"),
        "versions": start.get("versions"),
    }
