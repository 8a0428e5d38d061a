"""The extras: each can be combined with any other, and whatever names one names one that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gsdd_runtime.commands import examination

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"gsdd-rt\[([a-z, -]+)\]")


@pytest.fixture(scope="module")
def extras() -> dict[str, list[str]]:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def expanded(extras: dict[str, list[str]], name: str) -> set[str]:
    """Names of the distributions of an extra, through those that it sums up."""
    found: set[str] = set()
    for requirement in extras[name]:
        summed = NAMED.match(requirement)
        if summed is None:
            found.add(re.split(r"[^\w-]", requirement)[0])
        else:
            found.update(*(expanded(extras, part.strip()) for part in summed[1].split(",")))
    return found


def test_what_an_extra_brings(extras: dict[str, list[str]]) -> None:
    assert expanded(extras, "export") == {"onnx", "onnxscript"}
    for name in ("onnxruntime", "onnxruntime-gpu", "gsplat", "tensorrt"):
        assert expanded(extras, name) == {name}
    assert expanded(extras, "gpu") == {"onnx", "onnxscript", "onnxruntime-gpu", "gsplat", "tensorrt"}


def test_no_extra_installs_two_onnxruntimes(extras: dict[str, list[str]]) -> None:
    for name in extras:
        assert len({"onnxruntime", "onnxruntime-gpu"} & expanded(extras, name)) < 2, name


def texts() -> list[Path]:
    folders = ("gsdd_runtime", "export", "docs", "tests", "benchmarks", "examples", "plugins", "cmake")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [p for p in [*found, *ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
            if p.suffix in (".py", ".md", ".toml", ".txt", ".cmake", ".cpp", ".h", "")]  # fmt: skip


def test_every_extra_that_is_named_exists(extras: dict[str, list[str]]) -> None:
    named = {
        (path.name, part.strip())
        for path in texts()
        for found in NAMED.findall(path.read_text(errors="replace"))
        for part in found.split(",")
    }
    assert {part for _, part in named} >= {"export", "onnxruntime", "gsplat"}
    assert [pair for pair in named if pair[1] not in extras] == []


def install(folder: Path, name: str) -> None:
    """What an installed distribution with the module onnxruntime leaves behind."""
    info = folder / f"{name.replace('-', '_')}-1.31.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.31.1\n")
    (info / "top_level.txt").write_text("onnxruntime\n")


def test_doctor_sees_two_onnxruntimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    assert examination._onnxruntime().status == "ok"
    install(tmp_path, "onnxruntime-gpu")
    install(tmp_path, "onnxruntime")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = examination._onnxruntime()
    assert finding.status == "broken"
    assert "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 are both installed" in finding.detail
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in finding.remedy
    assert "gsdd-rt[onnxruntime-gpu]" in finding.remedy
