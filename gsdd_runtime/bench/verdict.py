"""What the figures say in words: above all, where another way is better."""

from __future__ import annotations

from typing import Any

from gsdd_runtime.bench.peers.gaussians import Gaussians, GaussiansBackward


def peer_wins(result: dict[str, Any]) -> list[str]:
    """One sentence for each place where a peer decodes no slower, or keeps more of the image in its bytes."""
    sentences = []
    for entry in result["results"]:
        for name, figures in entry["contestants"].items():
            ratio = figures["times_slower_than_gsdd"]
            if name in (Gaussians.name, GaussiansBackward.name) or ratio["median"] >= 1:
                continue
            size = figures["bytes_per_image"] / entry["contestants"][Gaussians.name]["bytes_per_image"]
            faster = f"{1 / ratio['median']:.1f} times faster" if ratio["high"] < 1 else "level within the spread"
            sentences.append(
                f"{entry['point']}, {entry['threads']} thread(s), {entry['parameters']}: {name} is {faster}, "
                f"at {size:.1f} times the bytes"
            )
    for entry in result["fidelity"]:
        ours, equal_bytes = entry["gsdd"], entry["jpeg_at_equal_bytes"]
        gain = equal_bytes["psnr"] - ours["psnr"]
        if gain > 0 and equal_bytes["bytes_per_image"] <= ours["bytes_per_image"]:
            sentences.append(f"{entry['point']}: JPEG at no more bytes keeps more of the image, by {gain:.1f} dB PSNR")
    return sentences
