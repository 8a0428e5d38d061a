"""One self-contained page of sets, which draws their images itself. It asks no host for anything.

Its parts, in ``web/``, are plain files; the page is the template with them and one JSON document in it. The policy in
it lets nothing run but that script, by its digest, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.reports.account import Records, account, curves, run_status
from gsdd_runtime.reports.gallery import PAGE_BYTES, class_names, packed_real, packed_set
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.versions import VERSION

# In the order that they build on each other.
SCRIPTS = ("splat.js", "gallery.js", "curves.js", "viewer.js", "page.js")


@dataclass(frozen=True)
class Shown:
    """A set of a page.

    Attributes:
        name: of it, for people.
        distilled_set: the set.
        file_bytes: of its file; None where it has none.
        records: of the log of its run, where there is one.
    """

    name: str
    distilled_set: DistilledSet
    file_bytes: int | None = None
    records: Records = ()


def page_document(
    shown: Sequence[Shown], real: RealData | None = None, *, per_class: int | None = None
) -> dict[str, Any]:
    """What a page of the sets holds, as JSON values.

    Args:
        shown: the sets, at least one.
        real: data whose first images of each class are shown too, and so embedded.
        per_class: images of each class of each set; None for as many as keep the page small.

    Raises:
        InputError: no sets, or more images than a page can hold.
    """
    if not shown:
        raise InputError("there is no set to report on")
    sets = [one.distilled_set for one in shown]
    names = class_names(sets)
    budget = PAGE_BYTES // len(sets)
    described = [
        {**account(one.distilled_set, one.name, one.file_bytes, one.records),
         "gallery": packed_set(one.distilled_set, one.name, names, budget, per_class)}
        for one in shown
    ]  # fmt: skip
    return {
        "title": f"Distilled: {', '.join(one.name for one in shown)}",
        "sets": described,
        "real": None if real is None else packed_real(real, names),
        "class_names": names,
    }


def run_page_document(name: str, records: Records, shown: Shown | None, *, ended: bool) -> dict[str, Any]:
    """What a page of a run holds while it goes on, as JSON values.

    Args:
        name: of the run, for people.
        records: of its log.
        shown: its set as it is now, where there is one to see.
        ended: whether the run goes on no more.
    """
    if shown is not None:
        document = page_document([replace(shown, name=name, records=records)])
    else:
        nothing: dict[str, list[Any]] = {field: [] for field in ("bytes", "accuracy", "curves", "facts", "options")}
        document = {"sets": [{**nothing, "name": name, "lead": "", "gallery": None}], "real": None, "class_names": []}
    about = {"status": run_status(records, ended=ended), "curves": curves(records), "unfinished": not ended}
    document["sets"][0].update(about)
    return {**document, "title": f"Distilling: {name}", "ended": ended}


def page_html(document: dict[str, Any], *, follow: str | None = None) -> str:
    """The page of a document.

    Args:
        document: of :func:`page_document`.
        follow: address of the document at the page's own host, which the page then asks for again and again.
    """
    script = "\n".join(_part(name) for name in SCRIPTS)
    style = _part("page.css")
    policy = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data:",
        "connect-src": "'none'" if follow is None else "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    held = json.dumps({**document, "follow": follow}, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    values = {
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "generator": f"gsdd-rt {VERSION}",
        "title": html.escape(document["title"]),
        "style": style,
        # Nothing in a string may end the script element.
        "document": held.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
        "script": script,
    }
    return _filled(_part("page.html"), values)


def write_page(path: str | os.PathLike[str], document: dict[str, Any], inputs: Sequence[Any] = ()) -> None:
    """Writes the page whole or not at all.

    Raises:
        InputError: it cannot be written, or would replace one of ``inputs``.
    """
    content = page_html(document).encode()
    with atomic_path(path, size=len(content), inputs=inputs) as temporary:
        temporary.write_bytes(content)


def _part(name: str) -> str:
    return (files("gsdd_runtime.reports") / "web" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with each value once over: what a value holds is never taken for a place."""
    pieces = []
    while template:
        before, brace, rest = template.partition("{")
        name, _, after = rest.partition("}")
        pieces.append(before)
        if brace:
            pieces.append(values[name])
        template = after
    return "".join(pieces)
