"""The headers that no wheel carries: taken from the smallest source that answers, kept whole, found by CMake."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
from test_cuda_choice import CMAKE, program

ROOT = Path(__file__).parent.parent
CONTENT = {
    "onnxruntime_c_api.h": b"#pragma once\n#define ORT_API_VERSION 29\n",
    "onnxruntime_ep_c_api.h": b"// ep\n",
    "onnxruntime_error_code.h": b"// errors\n",
    "onnxruntime_float16.h": b"// another\n",
}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fetch_{name}", ROOT / "plugins" / name / "fetch_headers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(folder: str, content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {f"{folder}/{name}": data for name, data in content.items()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class Sources:
    """The release archive and the npm package, as files of this machine; npm is a script that counts its calls."""

    def __init__(self, folder: Path, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.module = folder, module
        self.archive = folder / "archive-x64.tgz"
        self.calls = folder / "npm-calls"
        for variable in ("GSDD_ONNXRUNTIME_HEADERS", "ONNXRUNTIME_HOME"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(module, "SYSTEM", (folder / "system",))
        monkeypatch.setattr(module, "RELEASE", f"file://{folder}/archive-{{}}.tgz")
        monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
        self.npm("exit 1")
        self.monkeypatch = monkeypatch

    def release(self, content: dict[str, bytes] = CONTENT, digest: str | None = None) -> None:
        data = packed("onnxruntime-linux-x64-1.29.0/include", content)
        self.archive.write_bytes(data)
        found = digest or hashlib.sha256(data).hexdigest()
        self.monkeypatch.setattr(self.module, "ARCHIVES", {"x86_64": ("x64", found)})

    def npm(self, does: str) -> None:
        program(self.folder / "bin" / "npm", f"echo called >> {self.calls}\n{does}")

    def npm_gives(self, data: bytes) -> None:
        (self.folder / "package.bin").write_bytes(data)
        self.npm(f"cp {self.folder}/package.bin package-0.4.9.tgz")
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        self.monkeypatch.setattr(self.module, "PACKAGE_SHA512", digest)

    @property
    def kept(self) -> Path:
        return self.folder / "cache" / "gsdd-rt" / self.module.NAME

    def left(self) -> list[str]:
        return sorted(path.name for path in self.kept.parent.iterdir()) if self.kept.parent.exists() else []


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, script("onnxruntime"), monkeypatch)


def test_installed_headers_are_taken_and_nothing_is_fetched(
    sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sources.folder / "system" / "onnxruntime"
    folder.mkdir(parents=True)
    (folder / "onnxruntime_c_api.h").write_bytes(CONTENT["onnxruntime_c_api.h"])
    sources.release()
    assert sources.module.main() == 0
    assert capsys.readouterr().out == f"ONNX Runtime headers: {folder}\n"
    assert sources.left() == []


def test_installed_headers_that_are_too_old_are_passed_over(sources: Sources) -> None:
    folder = sources.folder / "system"
    folder.mkdir()
    (folder / "onnxruntime_c_api.h").write_text("#define ORT_API_VERSION 17\n")
    sources.release()
    assert sources.module.fetch() == sources.kept


def test_the_release_archive_comes_before_npm_and_is_kept(sources: Sources) -> None:
    sources.release()
    assert sources.module.fetch() == sources.kept
    assert {path.name: path.read_bytes() for path in sources.kept.iterdir()} == CONTENT
    assert not sources.calls.exists()
    assert ROOT not in sources.kept.parents
    sources.archive.unlink()
    assert sources.module.fetch() == sources.kept
    assert sources.left() == [sources.module.NAME]


@pytest.mark.parametrize("archive", ["absent", "other hash", "headers missing", "no archive for this machine"])
def test_npm_is_asked_where_the_archive_does_not_serve(archive: str, sources: Sources) -> None:
    if archive == "other hash":
        sources.release(digest="0" * 64)
    elif archive == "headers missing":
        sources.release({"onnxruntime_c_api.h": b""})
    elif archive == "no archive for this machine":
        sources.monkeypatch.setattr(sources.module.platform, "machine", lambda: "riscv64")
    inside = "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64_x86_64-simulator/onnxruntime.framework/Headers"
    sources.npm_gives(packed(inside, CONTENT))
    assert sources.module.fetch() == sources.kept
    assert {path.name: path.read_bytes() for path in sources.kept.iterdir()} == CONTENT
    assert sources.calls.read_text() == "called\n"


def test_a_package_of_another_hash_is_not_unpacked(sources: Sources) -> None:
    sources.npm_gives(packed("Headers", CONTENT))
    sources.monkeypatch.setattr(sources.module, "PACKAGE_SHA512", "another")
    with pytest.raises(sources.module.UnavailableError, match="does not have the hash that is expected"):
        sources.module.fetch()
    assert sources.left() == []


def test_without_any_source_one_line_says_what_is_missing(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    assert sources.module.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "does not answer" in err
    last = err.splitlines()[-1]
    assert last.startswith("no ONNX Runtime headers, so its library is left out")
    assert "GSDD_ONNXRUNTIME_HEADERS=DIR" in last
    assert sources.left() == []


def test_an_interrupted_fetch_leaves_nothing(sources: Sources) -> None:
    class Interrupting(dict):
        def items(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sources.module.header_cache.keep(sources.kept, Interrupting())
    assert sources.left() == []


def test_two_builds_at_once_keep_one_whole_folder(sources: Sources) -> None:
    keep = sources.module.header_cache.keep

    class Late(dict):
        def items(self) -> object:
            keep(sources.kept, CONTENT)
            return super().items()

    assert keep(sources.kept, Late(CONTENT)) == sources.kept
    assert {path.name: path.read_bytes() for path in sources.kept.iterdir()} == CONTENT
    assert sources.left() == [sources.module.NAME]


FIND = f"""
list(APPEND CMAKE_MODULE_PATH {ROOT}/cmake)
include(OnnxRuntimeHeaders)
gsdd_find_onnxruntime_headers()
message("found=${{GSDD_ONNXRUNTIME_INCLUDE_DIR}}")
message("missing=${{GSDD_ONNXRUNTIME_MISSING}}")
gsdd_header_cache(tensorrt {ROOT}/plugins/tensorrt/fetch_headers.py)
message("tensorrt=${{tensorrt}}")
"""


def find(folder: Path) -> dict[str, str]:
    asked = folder / "find.cmake"
    asked.write_text(FIND)
    done = subprocess.run([*CMAKE, "-P", str(asked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stderr.splitlines())


def test_cmake_finds_what_was_fetched(sources: Sources) -> None:
    system = [Path(place, sub) for place in ("/usr/include", "/usr/local/include") for sub in sources.module.SUBFOLDERS]
    if any((folder / "onnxruntime_c_api.h").exists() for folder in system):
        pytest.skip("headers are installed here, and come first")
    assert "run `make headers build`" in find(sources.folder)["missing"]
    sources.release()
    sources.module.fetch()
    assert find(sources.folder)["found"] == str(sources.kept)
    trt = script("tensorrt")
    assert find(sources.folder)["tensorrt"] == str(trt.header_cache.folder(trt.NAME))


def test_cmake_passes_over_headers_that_are_too_old(sources: Sources) -> None:
    home = sources.folder / "home"
    (home / "include").mkdir(parents=True)
    (home / "include" / "onnxruntime_c_api.h").write_text("#define ORT_API_VERSION 17\n")
    sources.monkeypatch.setenv("ONNXRUNTIME_HOME", str(home))
    found = find(sources.folder)
    assert found["found"] != str(home / "include")
    if not found["found"]:
        assert "are of API version 17: 18 or newer is needed" in found["missing"]
    (home / "include" / "onnxruntime_c_api.h").write_text("#define ORT_API_VERSION 18\n")
    assert find(sources.folder)["found"] == str(home / "include")


def test_tensorrt_headers_are_fetched_where_nvcc_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("tensorrt")
    for variable in ("GSDD_TENSORRT_HEADERS", "TENSORRT_HOME", "CUDACXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SYSTEM", ())
    monkeypatch.setattr(module, "from_wheel", lambda: {"NvInferRuntime.h": b"// here"})
    monkeypatch.setattr(module, "has_nvcc", lambda: False)
    monkeypatch.setattr(sys, "argv", ["fetch_headers.py", "--where-nvcc"])
    assert module.main() == 0
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(module, "has_nvcc", lambda: True)
    assert module.main() == 0
    assert (module.header_cache.folder(module.NAME) / "NvInferRuntime.h").read_bytes() == b"// here"


def test_an_index_without_the_wheel_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("tensorrt")
    monkeypatch.delenv("GSDD_TENSORRT_HEADERS", raising=False)
    monkeypatch.delenv("TENSORRT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SYSTEM", ())
    monkeypatch.setattr(sys, "argv", ["fetch_headers.py"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert module.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no TensorRT headers, so its plugin is left out: the package index does not give kernel-lens" in err


def test_make_build_fetches_before_it_builds() -> None:
    done = subprocess.run(["make", "-n", "-B", "build"], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    fetched = [number for number, line in enumerate(lines) if "fetch_headers.py" in line]
    built = next(number for number, line in enumerate(lines) if "--editable" in line)
    assert len(fetched) == 2
    assert max(fetched) < built
    assert all(lines[number].endswith("|| true") for number in fetched)
