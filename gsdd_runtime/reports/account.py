"""What a page says of a set: from what, by what, of how many bytes, worth what; and the curves of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import in_words, is_objective
from gsdd_runtime.splatting.gaussians import SHAPE_PARAMETERS
from gsdd_runtime.wording import counted, percent, time_in_words

Records = Sequence[Mapping[str, Any]]

# Points of a curve that a page can show apart.
MOST_POINTS = 400
# Of a description, what the page says elsewhere.
_ELSEWHERE = ("options", "accuracy", "bits_per_class", "class_names", "versions", "coding", "training")


def account(distilled: DistilledSet, name: str, file_bytes: int | None, records: Records = ()) -> dict[str, Any]:
    """All but the images, as JSON values that the page lays out.

    Args:
        distilled: the set.
        name: of it, for people.
        file_bytes: of its file; None where it has none.
        records: of the log of its run, where there is one.
    """
    facts = description(distilled)
    return {
        "name": name,
        "lead": _lead(distilled, facts, file_bytes, records),
        "bytes": _bytes(distilled, file_bytes),
        "accuracy": [_accuracy(one) for one in distilled.accuracy],
        "curves": curves(records),
        "facts": _facts(facts),
        "options": _listed(distilled.options),
        "status": "",
        "unfinished": False,
    }


def curves(records: Records) -> list[dict[str, Any]]:
    """The losses of each phase of a run and the accuracies it was judged by, against its steps; those with a point."""
    found = []
    for phase in dict.fromkeys(record.get("phase") for record in records if record.get("record") == "step"):
        points = _points(records, "step", "loss", phase)
        found.append({"title": f"Loss, {PHASES.get(str(phase), phase)}", "unit": "by step", "log": True,
                      "points": points})  # fmt: skip
    judged = [[step, 100 * share] for step, share in _points(records, "judged", "accuracy", None)]
    found.append({"title": "Accuracy on the way, %", "unit": "by step", "log": False, "points": judged})
    return [curve for curve in found if curve["points"]]


PHASES = {"fit": "fitting the first images", "match": "matching"}


def _points(records: Records, kind: str, field: str, phase: Any) -> list[list[float]]:
    """Step and value of each record that has them, the last of a step, thinned out."""
    points: dict[int, float] = {}
    for record in records:
        step, value = record.get("step"), record.get(field)
        of_phase = phase is None or record.get("phase") == phase
        if record.get("record") == kind and of_phase and isinstance(step, int) and isinstance(value, (int, float)):
            points[step] = float(value)
    listed = [[step, value] for step, value in sorted(points.items())]
    every = -(-len(listed) // MOST_POINTS) or 1
    return listed[:-1][::every] + listed[-1:]


def data_name(records: Records) -> str | None:
    """Of the data that a run distilled, by its log."""
    start = next((record for record in records if record.get("record") == "start"), {})
    data = start.get("data")
    return without_folders(str(data["name"])) if isinstance(data, Mapping) and "name" in data else None


def without_folders(name: str) -> str:
    """The name of data without the place where a machine keeps it: a page is sent to others."""
    kind, colon, place = name.partition(":")
    return f"{kind}:{PurePath(place).name}" if colon else name


def _lead(distilled: DistilledSet, facts: Mapping[str, Any], file_bytes: int | None, records: Records) -> str:
    shape = f"{distilled.height} × {distilled.width} {_COLORS.get(distilled.channels, '')}".strip()
    count = facts["gaussians_per_image"]
    what = "pixels" if count is None else f"{counted(count, 'Gaussian')} an image"
    sentences = [
        f"{counted(len(distilled), 'image')} of {counted(distilled.classes, 'class')}, {shape}, {what}, "
        f"{(file_bytes or distilled.nbytes):,} bytes."
    ]
    made = _made(distilled, data_name(records))
    if made:
        sentences.append(made)
    return " ".join(sentences)


_COLORS = {1: "gray", 3: "color"}


def _made(distilled: DistilledSet, data: str | None) -> str:
    if distilled.method is None:
        return ""
    how = in_words(distilled.method, data)
    words = [how[0].upper() + how[1:]]
    recipe = distilled.options.get("recipe")
    if isinstance(recipe, Mapping) and "name" in recipe:
        changed = ", ".join(recipe.get("changed") or ())
        words.append(f"with the recipe {recipe['name']}{f' (changed: {changed})' if changed else ''}")
    if is_objective(distilled.method) and isinstance(distilled.options.get("iterations"), int):
        words.append(f"in {counted(distilled.options['iterations'], 'step')}")
    if distilled.ipc is not None:
        words.append(f"at IPC {distilled.ipc}")
    start = _WITHOUT_IMAGES.get(str(distilled.options.get("init")))
    return f"{' '.join(words)}{f', begun from {start}: no image of the data was copied' if start else ''}."


# Starts that show nothing of a single image.
_WITHOUT_IMAGES = {"random": "chance", "color": "the mean color"}


def _bytes(distilled: DistilledSet, file_bytes: int | None) -> list[dict[str, Any]]:
    """Bytes of each part of the file."""
    parts: dict[str, int] = {}
    gaussians = distilled.gaussians
    labels = distilled.nbytes - distilled.image_nbytes
    if distilled.zca is not None:
        parts["Whitening"] = distilled.zca.numel() * distilled.zca.element_size()
        labels -= parts["Whitening"]
    if distilled.coded is not None:
        name = "Images, coded" if not distilled.coded.labels else "Images and labels, coded"
        parts = {name: distilled.image_nbytes, **parts}
    elif gaussians is None:
        parts = {"Pixels": distilled.image_nbytes, **parts}
    else:
        each = distilled.image_nbytes // (SHAPE_PARAMETERS + distilled.channels)
        kinds = {"Positions": 2 * each, "Shapes": 3 * each, "Colors": distilled.channels * each, "Opacities": each}
        parts = {**kinds, **parts}
    parts["Labels"] = labels
    parts["Description"] = 0 if file_bytes is None else file_bytes - distilled.nbytes
    return [{"name": name, "bytes": size} for name, size in parts.items() if size > 0]


def _accuracy(one: Mapping[str, Any]) -> dict[str, str]:
    """One stored measurement: its figure, and the whole protocol in words."""
    mean, std = one["last_epoch"]["mean"], one["last_epoch"]["std"]
    networks = int(one.get("networks", 1))
    data = one.get("data")
    protocol = [
        f"last epoch of {one.get('epochs')}",
        f"recipe {one.get('recipe')}",
        f"rate {one.get('learning_rate'):g}" if isinstance(one.get("learning_rate"), (int, float)) else "",
        f"batches of {one.get('batch_size')}",
        f"augmented by {one['augment']}" if one.get("augment") else "not augmented",
        f"images of {'x'.join(map(str, one['size']))}" if isinstance(one.get("size"), list) else "",
        f"tested on {without_folders(str(data['name']))}" if isinstance(data, Mapping) and "name" in data else "",
        f"labels of {one['teacher']}" if one.get("teacher") else "",
        f"seed {one.get('seed')}",
    ]
    return {
        "figure": percent(mean, std or 0.0, 1 if std is None else networks).replace("+-", "±"),
        "of": f"{one.get('network')}, {counted(networks, 'network')}",
        "protocol": ", ".join(filter(None, protocol)),
    }


def _facts(facts: Mapping[str, Any]) -> list[list[str]]:
    rows = {name: value for name, value in facts.items() if name not in _ELSEWHERE and value not in (None, {}, [])}
    bits = {f"bits a class, {name}": value for name, value in facts["bits_per_class"].items() if value}
    nested = {f"{name}, {key}": value for name in ("coding", "training", "versions")
              for key, value in (facts[name] or {}).items()}  # fmt: skip
    return _listed({**rows, **bits, **nested})


def _listed(values: Mapping[str, Any]) -> list[list[str]]:
    return [[name.replace("_", " "), _readable(value)] for name, value in values.items()]


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def run_status(records: Records, *, ended: bool = False) -> str:
    """Where a run stands, in a sentence, by its log; ``ended`` tells that its process goes on no more."""
    last = records[-1] if records else {}
    kind = last.get("record")
    if kind in ("stopped", "failed"):
        return f"The run {kind}: {last.get('message', '')}"
    if kind == "end":
        return f"The run has ended, after {time_in_words(float(last.get('total_seconds') or 0))}."
    step = next((record for record in reversed(records) if record.get("record") == "step"), None)
    if step is None:
        return "The run is gone, before its first step." if ended else "The run begins."
    left = step.get("seconds_left")
    ahead = f", about {time_in_words(left)} left" if isinstance(left, (int, float)) and left > 0 else ""
    phase = PHASES.get(str(step["phase"]), step["phase"])
    if ended:
        return f"The run is gone. It was {phase}: step {step['step']:,} of {step['total']:,}."
    return f"The run is {phase}: step {step['step']:,} of {step['total']:,}{ahead}."
