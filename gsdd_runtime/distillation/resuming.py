"""Going on with a run: what has to be as it was, what may be changed, and what that means for the bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.declared import declared
from gsdd_runtime.distillation.options import RECIPE, CommonOptions, ResolvedOptions
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import say_once

# Of a set's record: what was changed on the way.
HISTORY = "resumed"


def check_same_run(source: Path, options: Mapping[str, Any], fingerprint: str, ours: ResolvedOptions) -> None:
    """Refuses to take ``source``, whose run had ``options``, for this one where options or data differ.

    Raises:
        InputError: names the first option that differs.
    """
    _check_data(source, fingerprint, ours)
    for name, before, now in _differences(options, ours):
        raise InputError(_refused(source, name, before, now))


def check_resumable(source: Path, start: Checkpoint, ours: ResolvedOptions) -> list[Any]:
    """The history of a run that goes on from ``start`` with options that may differ; says on stderr what that means.

    Raises:
        InputError: an option or the data that decide the result differ; names the first.
    """
    _check_data(source, start.fingerprint, ours)
    rules = {
        one.name: one.resume
        for options in (CommonOptions, type(ours.representation_options), type(ours.method_options))
        for one in declared(options)
    }
    changes: dict[str, list[Any]] = {}
    for name, before, now in _differences(start.options, ours):
        if not _allowed(rules.get(name), before, now):
            raise InputError(_refused(source, name, before, now))
        changes[name] = [before, now]
    for name, (before, now) in changes.items():
        meaning = "its bits will be those of no run that was left alone"
        if name == "iterations" and ours.schedule == "constant":
            meaning = f"its bits will be those of a run that had {name} {now} from the start"
        say_once(f"the run goes on with {name} {now} in place of {before}: {meaning}")
    if not changes:
        return start.history
    return [*start.history, {"phase": start.phase, "step": start.step, "changed": changes}]


def _differences(options: Mapping[str, Any], ours: ResolvedOptions) -> list[tuple[str, Any, Any]]:
    now = ours.as_dict()
    names = sorted((options.keys() | now.keys()) - {HISTORY, RECIPE})
    return [(name, options.get(name), now.get(name)) for name in names if options.get(name) != now.get(name)]


def _allowed(rule: str | None, before: Any, now: Any) -> bool:
    if rule == "change":
        return True
    if rule is None or not all(isinstance(value, (int, float)) for value in (before, now)):
        return False
    return bool(now > before) if rule == "raise" else bool(now < before)


def _refused(source: Path, name: str, before: Any, now: Any) -> str:
    return f"{source} is of a run with {name} {before!r}, not {now!r}: use the same options, or choose another out"


def _check_data(source: Path, fingerprint: str, ours: ResolvedOptions) -> None:
    if not ours.room.data.has_fingerprint(fingerprint):
        raise InputError(
            f"{source} is of a run on other real data, or on the same in another order or normalised otherwise: "
            "use the same dataset and options of it, or choose another out"
        )
