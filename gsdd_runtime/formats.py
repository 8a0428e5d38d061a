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
    **dict.fromkeys((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"), "a picture"),
    **dict.fromkeys((".gz", ".tar", ".zip"), "an archive"),
}  # fmt: skip


def log_path(out: Path) -> Path:
    """``SET.safetensors`` has the log of its run at ``SET.safetensors.log.jsonl``."""
    return out.with_name(out.name + ".log.jsonl")


def suffix_of(path: Path) -> str:
    """The end of the name in small letters, with its dot, where it says anything; else nothing."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else ""
