"""What makes a release: bills of materials, checksums, comparisons, and where each is used."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from script_folders import first_in_path

ROOT = Path(__file__).parent.parent
with first_in_path(ROOT / "release"):
    import repair
    import reproduce
    import sbom
    import wheel

METADATA = """Metadata-Version: 2.4
Name: gsdd-rt
Version: 0.1.0
License-Expression: Apache-2.0 AND MIT
Requires-Dist: torch>=2.10
Requires-Dist: onnx>=1.18; extra == "export"
Requires-Dist: gsdd-rt[export]; extra == "gpu"
"""
LIBRARIES = {"libgsdd_torch.so": b"\0CUDA Runtime API\0", "libgsdd_onnxruntime.so": b"nothing of CUDA"}


def wheel_in(
    folder: Path, libraries: dict[str, bytes] = LIBRARIES, time: tuple[int, ...] = (2026, 1, 2, 3, 4, 6)
) -> Path:
    wheel = folder / "gsdd_rt-0.1.0-py3-none-linux_x86_64.whl"
    contents = {f"gsdd_runtime/lib/{name}": content for name, content in libraries.items()}
    contents |= {"gsdd_rt-0.1.0.dist-info/METADATA": METADATA.encode(), sbom.SAMPLE: b"MIT License"}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, time), content)  # type: ignore[arg-type]
    return wheel


def test_a_bill_names_the_wheel_its_libraries_and_what_is_in_them(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path)
    bill = sbom.document(wheel, 1_700_000_000)
    subject = bill["metadata"]["component"]
    assert subject["purl"] == "pkg:pypi/gsdd-rt@0.1.0"
    assert subject["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    parts = {c["name"]: [p["name"] for p in c["components"]] for c in bill["components"] if c["type"] == "file"}
    assert parts == {
        "gsdd_runtime/lib/libgsdd_onnxruntime.so": ["onnxruntime-headers"],
        "gsdd_runtime/lib/libgsdd_torch.so": ["pytorch-headers", "cuda-cudart-static"],
    }
    assert {c["name"]: c["scope"] for c in bill["components"] if "scope" in c} == {
        "torch": "required",
        "onnx": "optional",
    }
    assert bill["dependencies"] == [{"ref": "library:gsdd-rt", "dependsOn": ["library:torch"]}]
    references = [
        c["bom-ref"] for c in [*bill["components"], *(p for c in bill["components"] for p in c.get("components", ()))]
    ]
    assert len(references) == len(set(references))


def test_a_bill_keeps_to_the_schema_and_is_of_the_wheel_alone(tmp_path: Path) -> None:
    text = sbom.text(wheel_in(tmp_path), 1_700_000_000)
    assert text == sbom.text(wheel_in(tmp_path), 1_700_000_000)
    assert text != sbom.text(wheel_in(tmp_path, {"libgsdd_torch.so": b"other"}), 1_700_000_000)
    validation = pytest.importorskip("cyclonedx.validation.json", reason="no cyclonedx-python-lib[json-validation]")
    from cyclonedx.schema import SchemaVersion

    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace("SHA-256", "SHA")) is not None


def test_every_library_has_its_line_in_the_bill() -> None:
    from gsdd_runtime.splatting.native import LIBRARIES as NAMES

    assert set(sbom.COMPILED_IN) == set(NAMES.values())


def test_a_wheel_without_libraries_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(repair.WheelError, match="no library"):
        repair.repair(wheel_in(tmp_path, {}), tmp_path)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf: install binutils")
def test_a_wheel_whose_library_is_too_new_is_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair.symbols, "problems", lambda library: ["needs GLIBC_2.34: dlsym"])
    with pytest.raises(repair.WheelError, match=r"libgsdd_torch\.so needs GLIBC_2\.34"):
        repair.repair(wheel_in(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wheels_of_other_bytes_differ_by_name(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    first, equal = wheel_in(tmp_path / "a"), wheel_in(tmp_path / "b")
    assert reproduce.differences(first, equal) == []
    (told,) = reproduce.differences(first, wheel_in(tmp_path / "b", {**LIBRARIES, "libgsdd_torch.so": b"CUDA"}))
    assert told.startswith("gsdd_runtime/lib/libgsdd_torch.so: ")
    assert len(reproduce.differences(first, wheel_in(tmp_path / "c", time=(2027, 1, 1, 0, 0, 0)))) == 4


def test_rights_and_times_of_the_checkout_are_not_in_a_wheel(tmp_path: Path) -> None:
    made = []
    for name, time in (("a", (2026, 1, 2, 3, 4, 6)), ("b", (2027, 1, 1, 0, 0, 0))):
        (tmp_path / name).mkdir()
        made.append(wheel_in(tmp_path / name, time=time))
        repair.settle(made[-1], 1_700_000_000)
    assert reproduce.differences(*made) == []
    assert {entry[1:] for entry in reproduce.contents(made[0]).values()} == {(0o100644, (2023, 11, 14, 22, 13, 20))}
    assert reproduce.contents(made[0]).keys() == reproduce.contents(wheel_in(tmp_path)).keys()


class Release:
    """A folder of files to be released, a key, and who may sign."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key, self.signers = folder / "dist", folder / "key", folder / "signers"
        self.folder.mkdir()
        (self.folder / "a wheel.whl").write_bytes(b"wheel")
        (self.folder / "source.tar.gz").write_bytes(b"source")
        self.make_key(self.key)
        self.signers.write_text(f"releases@gsdd-rt {self.key.with_suffix('.pub').read_text()}")

    @staticmethod
    def make_key(path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a test", "-f", path], check=True)

    def run(self, what: str, **variables: Path) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("KEY", "SIGNERS", "IDENTITY")}
        command = ["sh", ROOT / "release" / "checksums.sh", what, self.folder]
        environment = {**kept, **{name: str(value) for name, value in variables.items()}}
        return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen: install openssh-client")
    return Release(tmp_path)


def test_checksums_are_signed_and_verified(release: Release) -> None:
    assert release.run("sign", KEY=release.key).stdout == "signed: 2 files\n"
    assert release.run("verify", SIGNERS=release.signers).stdout == "right: 2 files\n"
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=release.folder, check=True, capture_output=True)


def test_without_a_key_nothing_is_written(release: Release) -> None:
    done = release.run("sign")
    assert done.returncode == 1
    assert "no key" in done.stderr
    assert release.run("sign", KEY=release.folder / "none").returncode == 1
    release.key.write_text("no key at all")
    assert release.run("sign", KEY=release.key).returncode == 1
    assert sorted(path.name for path in release.folder.iterdir()) == ["a wheel.whl", "source.tar.gz"]


@pytest.mark.parametrize("what", ["a changed file", "an added file", "a lost file", "another's key", "a changed sum"])
def test_what_was_not_signed_is_refused(release: Release, what: str) -> None:
    key = release.key
    if what == "another's key":
        key = release.folder.parent / "other"
        release.make_key(key)
    assert release.run("sign", KEY=key).returncode == 0
    if what == "a changed file":
        (release.folder / "source.tar.gz").write_bytes(b"sourcE")
    elif what == "an added file":
        (release.folder / "source.tar").write_bytes(b"more")
    elif what == "a lost file":
        (release.folder / "source.tar.gz").unlink()
    elif what == "a changed sum":
        sums = release.folder / "SHA256SUMS"
        sums.write_text(sums.read_text().replace("source", "sourcf"))
    done = release.run("verify", SIGNERS=release.signers)
    assert done.returncode == 1, done.stdout
    assert done.stderr.splitlines()[-1].startswith("checksums: ")


def test_a_wheel_for_another_machine_is_tagged_for_that(tmp_path: Path) -> None:
    # Asked of a process of its own: setuptools lets this one find the copy that it carries.
    asked = subprocess.run([sys.executable, "-m", "wheel", "version"], capture_output=True, check=False)
    if shutil.which("c++") is None or asked.returncode:
        pytest.skip("no C++ compiler, or no wheel: pip install 'gsdd-rt[dev]'")
    library = tmp_path / "lib.so"
    subprocess.run(["c++", "-shared", "-nostdlib", "-x", "c++", "/dev/null", "-o", library], check=True)
    foreign = tmp_path / "gsdd_rt-0.1.0-py3-none-linux_riscv64.whl"
    contents = {
        "gsdd_runtime/lib/libgsdd_torch.so": library.read_bytes(),
        "gsdd_rt-0.1.0.dist-info/METADATA": METADATA.encode(),
        "gsdd_rt-0.1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_riscv64\n",
    }
    lines = [
        f"{place},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}"
        for place, content in contents.items()
    ]
    contents["gsdd_rt-0.1.0.dist-info/RECORD"] = "\n".join([*lines, "gsdd_rt-0.1.0.dist-info/RECORD,,", ""]).encode()
    with zipfile.ZipFile(foreign, "w") as archive:
        for place, content in contents.items():
            archive.writestr(place, content)
    made = repair.repair(foreign, tmp_path / "out", {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    assert made.name == "gsdd_rt-0.1.0-py3-none-manylinux_2_28_riscv64.whl"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [made.name]
    with zipfile.ZipFile(made) as archive:
        assert b"Tag: py3-none-manylinux_2_28_riscv64" in archive.read("gsdd_rt-0.1.0.dist-info/WHEEL")
        assert archive.read("gsdd_runtime/lib/libgsdd_torch.so") == library.read_bytes()


def test_a_wheel_for_arm64_is_built_by_a_cross_compiler_against_its_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GSDD_ARM64_CXX", raising=False)
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    assert "CMAKE_ARGS" not in wheel.environment(ROOT, False)
    seen = wheel.environment(ROOT, False, tmp_path)
    assert seen["_PYTHON_HOST_PLATFORM"] == "linux-aarch64"
    defined = dict(word.removeprefix("-D").split("=") for word in seen["CMAKE_ARGS"].split())
    assert defined["CMAKE_SYSTEM_PROCESSOR"] == "aarch64"
    assert defined["CMAKE_CXX_COMPILER"] == "aarch64-linux-gnu-g++"
    assert defined["GSDD_TORCH_LIBRARIES"] == str(tmp_path)
    monkeypatch.setattr("sys.argv", ["wheel.py", "--arm64", str(tmp_path)])
    with pytest.raises(SystemExit):
        wheel.main()
