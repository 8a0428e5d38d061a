"""The result of a benchmark as a table for the terminal, and as Markdown: ratios first."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from gsdd_runtime.bench.peers.gaussians import Gaussians, GaussiansBackward
from gsdd_runtime.bench.verdict import peer_wins
from gsdd_runtime.wording import counted

_HEADINGS = ["Gaussians at size", "parameters", "threads", "load", "images/s", "backward / forward"]
_FIDELITY_HEADINGS = [
    "Gaussians at size", "bytes", "PSNR, dB", "JPEG, equal bytes: PSNR, dB", "its bytes",
    "JPEG, equal PSNR: bytes", "its PSNR, dB",
]  # fmt: skip
_EXPLANATION = (
    "How many times faster gsdd decodes than each peer: the median over the rounds, and the lowest and highest. "
    "Below 1 the peer is faster. Load is the system's, of the minute before: above the threads, others were running."
)


def render_table(result: dict[str, Any]) -> RenderableType:
    """What ``gsdd-rt bench decode`` prints."""
    peers = _peer_names(result)
    speed = Table(*_HEADINGS, *peers, title="Decoding speed", caption=_EXPLANATION)
    for row in _speed_rows(result, peers):
        speed.add_row(*row)
    fidelity = Table(*_FIDELITY_HEADINGS, title="What the bytes keep of real images")
    for row in _fidelity_rows(result):
        fidelity.add_row(*row)
    wins = peer_wins(result)
    words = ["Where a peer is better:", *(f"  {sentence}" for sentence in wins)] if wins else []
    return Group(_machine_line(result), "", speed, "", fidelity, "", *words)


def render_markdown(result: dict[str, Any]) -> str:
    """The same for a file in ``benchmarks/results``."""
    peers = _peer_names(result)
    lines = ["# Decoding speed", "", _machine_line(result), "", _EXPLANATION, ""]
    lines += _markdown_rows([*_HEADINGS, *peers], _speed_rows(result, peers))
    images = sorted({entry["images"] for entry in result["fidelity"]})
    lines += ["", "## What the bytes keep of real images", "", f"Images: {'; '.join(images)}.", ""]
    lines += _markdown_rows(_FIDELITY_HEADINGS, _fidelity_rows(result))
    lines += ["", "## Where a peer is better", "", *(f"- {sentence}" for sentence in peer_wins(result)), ""]
    return "\n".join(lines)


def _peer_names(result: dict[str, Any]) -> list[str]:
    names: dict[str, None] = {}
    for entry in result["results"]:
        names.update(dict.fromkeys([*entry["contestants"], *entry["skipped"]]))
    return [name for name in names if name not in (Gaussians.name, GaussiansBackward.name)]


def _speed_rows(result: dict[str, Any], peers: list[str]) -> list[list[str]]:
    rows = []
    for entry in result["results"]:
        contestants = entry["contestants"]
        cells = [
            entry["point"],
            entry["parameters"],
            str(entry["threads"]),
            "" if entry["load_average"] is None else f"{entry['load_average']:.1f}",
            f"{contestants[Gaussians.name]['images_per_second']['median']:,.0f}",
            _spread(contestants[GaussiansBackward.name]["times_slower_than_gsdd"]),
        ]
        for name in peers:
            figures = contestants.get(name)
            cells.append(_spread(figures["times_slower_than_gsdd"]) if figures else "")
        rows.append(cells)
    return rows


def _fidelity_rows(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for entry in result["fidelity"]:
        ours, by_bytes, by_quality = (entry[name] for name in ("gsdd", "jpeg_at_equal_bytes", "jpeg_at_equal_quality"))
        rows.append(
            [
                entry["point"],
                f"{ours['bytes_per_image']:,}",
                f"{ours['psnr']:.1f}",
                f"{by_bytes['psnr']:.1f}",
                f"{by_bytes['bytes_per_image']:,.0f}",
                f"{by_quality['bytes_per_image']:,.0f}",
                f"{by_quality['psnr']:.1f}",
            ]
        )
    return rows


def _spread(figures: dict[str, float]) -> str:
    return f"{_short(figures['median'])} ({_short(figures['low'])} to {_short(figures['high'])})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine_line(result: dict[str, Any]) -> str:
    machine, settings = result["machine"], result["settings"]
    return (
        f"{machine['processor']}, {counted(machine['cores'], 'core')}; gsdd-rt {machine['gsdd_rt']}, kernel "
        f"{machine['gsdd_kernel']}; torch {machine['torch']} ({machine['torch_cpu_capability']}); "
        f"{settings['jpeg']}; {counted(settings['rounds'], 'interleaved round')}"
    )


def _markdown_rows(headings: list[str], rows: list[list[str]]) -> list[str]:
    return [_markdown_row(row) for row in (headings, ["---"] * len(headings), *rows)]


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
