"""What the end of a file's name says about it."""

from __future__ import annotations

from pathlib import Path

# Of files that gsdd-rt writes, and of files that it or its users read beside them.
SUFFIXES = {
    ".safetensors": "a set or a trained network",
    ".onnx": "an ONNX model",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".pt2": "a torch.export program",
    ".engine": "a TensorRT engine",
    ".plan": "a TensorRT engine",
    ".npy": "an array",
    ".npz": "several arrays",
    ".json": "a JSON document",
    ".jsonl": "a log",
    ".checkpoint": "an unfinished run",
    ".svg": "a drawing",
    ".csv": "a table",
    ".html": "a page",
    **dict.fromkeys((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"), "a picture"),
    **dict.fromkeys((".gz", ".tar", ".zip"), "an archive"),
}  # fmt: skip


def log_path(out: Path) -> Path:
    """``SET.safetensors`` has the log of its run at ``SET.safetensors.log.jsonl``."""
    return out.with_name(out.name + ".log.jsonl")


def best_path(out: Path) -> Path:
    """``SET.safetensors`` has the best set of its run at ``SET.best.safetensors``."""
    return out.with_name(out.name.removesuffix(".safetensors") + ".best.safetensors")


def pictures_path(out: Path) -> Path:
    """``SET.safetensors`` has the pictures of its run in the folder ``SET.safetensors.pictures``."""
    return out.with_name(out.name + ".pictures")


def parts_path(out: Path) -> Path:
    """``SET.safetensors`` of a dataset that is being fitted has its parts in the folder ``SET.safetensors.parts``."""
    return out.with_name(out.name + ".parts")


def seed_path(out: Path, seed: int) -> Path:
    """``SET.safetensors`` of one of several seeds is ``SET.seed3.safetensors``."""
    whole = out.name.removesuffix(".safetensors")
    return out.with_name(f"{whole}.seed{seed}{out.name[len(whole) :]}")


def suffix_of(path: Path) -> str:
    """The end of the name in small letters, with its dot, where it says anything; else nothing."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else ""
