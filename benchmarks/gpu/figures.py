"""Keeps what ``make gpu`` found, and writes its figures into the pages that quote them.

    python benchmarks/gpu/figures.py --keep build/gpu-results     # as benchmarks/results/GPU-gpu.json; and the table
                                                                  # that --renderer auto follows
    python benchmarks/gpu/figures.py                              # docs/gpu.md and README.md, between their marks

A page has ``<!-- gpu: NAME -->`` and ``<!-- end of gpu -->``: what stands between is written by the function of that
name here, from what was kept; where there is nothing it says so. A test holds the pages to it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import package

sys.path.append(str(package.ROOT / "benchmarks"))

import cuda_bench

from gsdd_runtime.wording import counted

ROOT = package.ROOT
RESULTS = ROOT / "benchmarks" / "results"
# What `--renderer auto` follows.
RENDERERS = ROOT / "gsdd_runtime" / "splatting" / "cuda_renderers.json"
PAGES = ("docs/gpu.md", "README.md")
NOT_RUN = "Not run on a device."
_BLOCK = re.compile(r"(<!-- gpu: (\w+) -->\n).*?(<!-- end of gpu -->)", re.DOTALL)

Document = dict[str, Any]


def run_of(out: Path) -> Document:
    """The summary of a run, with its stages' results.

    Raises:
        SystemExit: it was a rehearsal, or there is none.
    """
    place = out / "summary.json"
    if not place.exists():
        raise SystemExit(f"{out} has no summary.json: run `make gpu` on a machine with a GPU")
    summary: Document = json.loads(place.read_text())
    if summary["rehearsal"] or summary["device"] == "cpu":
        raise SystemExit(f"{out} is of a rehearsal on the CPU, which is kept nowhere")
    for name, stage in summary["stages"].items():
        files = sorted((out / name).glob("result.json")) + sorted((out / name).glob("*-cuda.json"))
        stage["result"] = json.loads(files[0].read_text()) if files else None
    return summary


def keep(outs: list[Path], results: Path = RESULTS, renderers: Path = RENDERERS) -> Path:
    """One document of runs' summaries and their stages' results, in ``results``, under the device's name.

    What the renderers cost there, if that was measured, goes to ``renderers``.

    Args:
        outs: folders of runs of the same sources on one device; of a stage that several have, the last counts.

    Raises:
        SystemExit: one is of a rehearsal, of another device or of other sources, or there is none.
    """
    summary, *others = map(run_of, outs)
    for other in others:
        if any(other[name] != summary[name] for name in ("device", "plugins")):
            raise SystemExit(f"{', '.join(map(str, outs))} are not of one device and the same sources of plugins/")
        summary = {**other, "stages": summary["stages"] | other["stages"]}
    stem = re.sub(r"[^a-z0-9]+", "-", summary["device"].lower()).strip("-")
    kept = results / f"{stem}-gpu.json"
    kept.write_text(json.dumps(summary, indent=1) + "\n")
    measured = _result(summary, "kernels")
    if measured.get("points") and (costs := cuda_bench.renderer_costs(measured)):
        renderers.write_text(json.dumps(costs, indent=2) + "\n")
    return kept


def kept_results(results: Path = RESULTS) -> list[Document]:
    """What was kept, one document a device."""
    return [json.loads(path.read_text()) for path in sorted(results.glob("*-gpu.json"))]


def stages(document: Document) -> str:
    """How each stage ended."""
    versions = document["versions"]
    lines = [
        f"{document['device']}, compute capability {document['compute_capability']}, torch {versions['torch']}, "
        f"CUDA {versions['cuda']}; commit {document['commit'][:12]}"
        + (", with changes" if document["changed"] else "")
        + ".", "", "| stage | ended | seconds |", "|---|---|---|",
    ]  # fmt: skip
    for name, stage in document["stages"].items():
        lines.append(f"| {name} | {stage['status']} | {stage.get('seconds', '-')} |")
    return "\n".join(lines)


def parity(document: Document) -> str:
    result = _result(document, "parity")
    if "worst" not in result:
        return NOT_RUN
    worst = result["worst"]
    return (
        f"On {document['device']}: {len(result['cases'])} awkward inputs, at most {worst['image']:.1e} in an image and "
        f"{worst['gradient']:.1e} of a gradient's norm; broken: {', '.join(result['broken']) or 'none'}."
    )


def kernels(document: Document) -> str:
    points = _result(document, "kernels").get("points", [])
    if not points:
        return NOT_RUN
    lines = [f"On {document['device']}, images a second, forward; and how many times ours they need:", ""]
    lines += ["| Gaussians, side, batch | gsdd | of the roofline | others |", "|---|---|---|---|"]
    for entry in points:
        ours = cuda_bench.rate(entry, "forward", cuda_bench.OURS)
        batch = entry["images"][cuda_bench.OURS]
        share = entry["roofline_forward"]["roofline"] * ours / batch
        others = [
            f"{name} {ours / cuda_bench.rate(entry, 'forward', name):.1f}"
            for name in entry["forward"]
            if name != cuda_bench.OURS
        ]
        lines.append(f"| {entry['point']} | {ours:,.0f} | {share:.0%} | {'; '.join(others)} |")
    return "\n".join(lines)


def training(document: Document) -> str:
    result = _result(document, "training")
    rows = [
        f"| {name} | {value['images_per_second']:,.0f} |"
        for name, value in result.items()
        if isinstance(value, dict) and "images_per_second" in value
    ]
    if not rows:
        return NOT_RUN
    lines = [f"On {document['device']}:", "", "| feed | images a second |", "|---|---|", *rows]
    step = result.get("step in a CUDA graph", {})
    if step.get("graph"):
        lines += ["", f"A training step of {step['network']}, {step['batch']} images decoded in it: "
                      f"{step['eager'] * 1e3:.2f} ms, {step['graph'] * 1e3:.2f} ms in a CUDA graph."]  # fmt: skip
    return "\n".join(lines)


def distilling(document: Document) -> str:
    result = _result(document, "distilling")
    lines = []
    fit = result.get("fit, 170 at 128", {})
    if "seconds" in fit:
        lines.append(
            f"- Fitting {fit['images']} of 128 x 128 pixels with 170 Gaussians, {fit['steps']} steps: "
            f"{fit['seconds']:.1f} s, {fit['psnr']:.1f} dB (the paper: 12.9 s on an A100)."
        )
    for name in ("dm", "tm"):
        entry = result.get(name, {})
        if "steps_per_second" in entry:
            line = f"- {name.upper()} on {entry['data']}: {entry['steps_per_second']:.2f} steps a second"
            if spent := entry.get("milliseconds"):
                line += f"; of {spent['step']:.0f} ms, profiled, the device works {spent['device']['all']:.0f}"
            lines.append(f"{line}.")
    return "\n".join([f"On {document['device']}:", "", *lines]) if lines else NOT_RUN


def engines(document: Document) -> str:
    rows = [
        f"| {name} | {value['images_per_second']:,.0f} |" if "images_per_second" in value else f"| {name} | not run |"
        for name, value in _result(document, "engines").items()
    ]
    if not any("not run" not in row for row in rows):
        return NOT_RUN
    return "\n".join([f"On {document['device']}:", "", "| decoder | images a second |", "|---|---|", *rows])


def feeds(document: Document) -> str:
    """Whole training steps under each feed."""
    measured = _result(document, "training").get("feeds", {})
    if "results" not in measured:
        return NOT_RUN
    of = measured["settings"]
    images = counted(of["batch_size"], "image")
    lines = [f"On {document['device']}, a training step of {images} of {of['point']}:", ""]
    lines += ["| network | feed | a step, ms | of that with images in memory |", "|---|---|---|---|"]
    for one in measured["results"]:
        step, share = one["seconds_per_step"]["median"], one["over_memory"]["median"]
        lines.append(f"| {one['network']} | {one['feed']} | {step * 1e3:.2f} | {share:.2f} |")
    return "\n".join(lines)


# A contestant of the kernels, as a page for users calls it.
PEERS = {
    "dense formula, torch.compile": "the compiled formula",
    "SIREN of equal parameters, torch.compile": "a SIREN of equal bytes",
    "gsplat's rasteriser": "gsplat's rasteriser",
}


def headline(document: Document) -> str:
    """The kernels' figures as a user asks for them."""
    points = _result(document, "kernels").get("points", [])
    if not points:
        return NOT_RUN
    lines = [f"On {document['device']}, forward:", ""]
    lines += [f"| Gaussians, image | images/s | {' | '.join(f'against {name}' for name in PEERS.values())} |"]
    lines += ["|---" * (2 + len(PEERS)) + "|"]
    for entry in points:
        ours = cuda_bench.rate(entry, "forward", cuda_bench.OURS)
        count, side, batch = entry["size"]
        ratios = [
            f"{ours / cuda_bench.rate(entry, 'forward', peer):.2g} times" if peer in entry["forward"] else "-"
            for peer in PEERS
        ]
        cells = [f"{count}, {side}x{side}, batch {batch}", f"{round(ours, -4):,.0f}", *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


SECTIONS: dict[str, Callable[[Document], str]] = {
    "stages": stages, "parity": parity, "kernels": kernels, "training": training, "feeds": feeds,
    "distilling": distilling, "engines": engines, "headline": headline,
}  # fmt: skip


def _result(document: Document, stage: str) -> Document:
    return document["stages"].get(stage, {}).get("result") or {}


def filled(text: str, documents: list[Document]) -> str:
    """``text`` with what its marks ask for, of every device."""

    def block(found: re.Match[str]) -> str:
        told = "\n\n".join(SECTIONS[found[2]](document) for document in documents) or NOT_RUN
        return f"{found[1]}{told}\n{found[3]}"

    return _BLOCK.sub(block, text)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, nargs="+", metavar="OUT", help="what make gpu wrote")
    options = parser.parse_args(given)
    if options.keep:
        print(keep(options.keep))
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(), kept_results()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
