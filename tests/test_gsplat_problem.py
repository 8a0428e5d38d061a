"""Whether gsplat can be used: its compiled part is asked for, never compiled, and nothing of it reaches stdout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from gsdd_runtime.commands import examination
from gsdd_runtime.splatting import tiles
from gsdd_runtime.splatting.gsplat_backend import gsplat_problem

needs_gsplat = pytest.mark.skipif(find_spec("gsplat") is None, reason="needs gsplat: pip install 'gsdd-rt[gsplat]'")

# What gsplat 1.5.3 does where it is imported and where its compiled part is.
FACE = "print('gsplat talks')\nfrom .cuda import isect_tiles, isect_offset_encode\n__version__ = '1.5.3'\n"
BACKEND = """
try:
    from gsplat import csrc as _C
except ImportError:
    import pathlib
    pathlib.Path(__file__).with_name("compiled").touch()
    _C = None
print("the backend talks")
"""


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package that stands in for gsplat, without its compiled part."""
    package = tmp_path / "gsplat"
    (package / "cuda").mkdir(parents=True)
    (package / "__init__.py").write_text(FACE)
    (package / "cuda" / "__init__.py").write_text("isect_tiles = isect_offset_encode = None\n")
    (package / "cuda" / "_backend.py").write_text(BACKEND)
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.syspath_prepend(str(tmp_path))
    gsplat_problem.cache_clear()
    yield package
    gsplat_problem.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        del sys.modules[name]


def test_a_wheel_without_its_compiled_part_is_not_compiled(pretend: Path, capfd: pytest.CaptureFixture[str]) -> None:
    problem = gsplat_problem()
    assert "gsplat 1.5.3 is installed without its compiled part: compile it once" in problem
    assert "from gsplat.cuda._backend import _C" in problem
    assert not (pretend / "cuda" / "compiled").exists()
    assert tiles.choose(1, 100_000, 1024, 1024) == ("direct", problem)
    assert capfd.readouterr().out == ""


def test_a_compiled_part_is_found(pretend: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (pretend / "csrc.py").write_text("")
    assert gsplat_problem() is None
    assert tiles.choose(1, 100_000, 1024, 1024).method == "tiled"
    assert capfd.readouterr().out == ""


def test_a_compiled_part_that_does_not_load_is_told(pretend: Path) -> None:
    (pretend / "csrc.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    assert "undefined symbol: _ZN3c10" in gsplat_problem()
    assert not (pretend / "cuda" / "compiled").exists()


def test_a_gsplat_that_does_not_import_is_told(pretend: Path) -> None:
    (pretend / "__init__.py").write_text("raise RuntimeError('made for another torch')")
    assert "made for another torch" in gsplat_problem()


def test_a_gsplat_without_tiles_is_told(pretend: Path) -> None:
    (pretend / "__init__.py").write_text("")
    assert "has no isect_tiles" in gsplat_problem()


def test_doctor_tells_the_missing_part(
    pretend: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    finding = examination._gsplat()
    assert finding.status == "missing"
    assert "without its compiled part" in finding.detail
    assert "gsplat.cuda._backend" in finding.remedy
    (pretend / "csrc.py").write_text("")
    gsplat_problem.cache_clear()
    assert examination._gsplat().status == "ok"
    monkeypatch.setattr(examination, "find_spec", lambda name: None)
    assert examination._gsplat().remedy == "pip install 'gsdd-rt[gsplat]'"
    assert capfd.readouterr().out == ""


ASK = "from gsdd_runtime.splatting.gsplat_backend import gsplat_problem as p; import sys; print(p(), file=sys.stderr)"


def ask(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True)


@needs_gsplat
def test_the_real_wheel_is_not_compiled(tmp_path: Path) -> None:
    done = ask(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "without its compiled part" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@needs_gsplat
def test_what_the_real_wheel_has_compiled_is_loaded_as_it_is(tmp_path: Path) -> None:
    build = tmp_path / "gsplat_cuda"
    build.mkdir()
    source = tmp_path / "module.c"
    source.write_text(
        '#include <Python.h>\nstatic struct PyModuleDef d = {PyModuleDef_HEAD_INIT, "gsplat_cuda"};\n'
        "PyMODINIT_FUNC PyInit_gsplat_cuda(void) { return PyModule_Create(&d); }\n"
    )
    include = sysconfig.get_paths()["include"]
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", source, "-o", build / "gsplat_cuda.so"], check=True)
    done = ask(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.endswith("None\n")
    assert [path.name for path in build.iterdir()] == ["gsplat_cuda.so"]
