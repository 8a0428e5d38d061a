"""The bill of materials of a wheel, as CycloneDX 1.6: ``python release/sbom.py WHEEL > WHEEL.cdx.json``.

It names the wheel by its hash, the libraries in it, what is compiled into them, the data of others that it carries, and
the packages that it asks for. It is made of the wheel alone, so that equal wheels have equal ones.
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import repair

# Compiled into a library of ours where it is there; the headers of hosts leave no code but what is inline in them.
COMPILED_IN: dict[str, tuple[tuple[str, str], ...]] = {
    "libgsdd_torch.so": (("pytorch-headers", "BSD-3-Clause"),),
    "libgsdd_onnxruntime.so": (("onnxruntime-headers", "MIT"),),
    "libgsdd_tensorrt.so": (("tensorrt-headers", "Apache-2.0"),),
    "libgsdd_dali.so": (("dali-headers", "Apache-2.0"),),
}
CUDA_RUNTIME = ("cuda-cudart-static", "LicenseRef-NVIDIA-CUDA-EULA")
# In libraries that hold the CUDA kernel, and in those alone.
CUDA_MARK = b"CUDA Runtime API"
SAMPLE = "gsdd_runtime/data/fashion-mnist-sample/LICENSE"


def path_of(wheel: Path) -> Path:
    return wheel.with_suffix(".cdx.json")


def _component(kind: str, name: str, license_id: str | None = None, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"type": kind, "bom-ref": f"{kind}:{name}", "name": name, **more}
    if license_id is not None:
        named = {"name": license_id} if license_id.startswith("LicenseRef") else {"id": license_id}
        said["licenses"] = [{"license": named}]
    return said


def _hashes(content: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]


def _libraries(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    found = []
    for name in sorted(archive.namelist()):
        if not name.endswith(".so"):
            continue
        content = archive.read(name)
        parts = list(COMPILED_IN.get(Path(name).name, ()))
        if CUDA_MARK in content:
            parts.append(CUDA_RUNTIME)
        library = _component("file", name, "Apache-2.0", hashes=_hashes(content))
        library["components"] = [
            {**_component("library", part, license_id), "bom-ref": f"{name}:{part}"} for part, license_id in parts
        ]
        found.append(library)
    return found


def _requirements(metadata: Any) -> list[dict[str, Any]]:
    """A component for each package of ``Requires-Dist``; ``scope`` tells those of an extra from those needed."""
    found: dict[str, dict[str, Any]] = {}
    for requirement in metadata.get_all("Requires-Dist", []):
        name = re.match(r"[\w.-]+", requirement)[0].lower()  # type: ignore[index]
        wanted, _, condition = requirement.partition(";")
        optional = "extra" in condition
        if name == metadata["Name"] or (name in found and found[name]["scope"] == "required"):
            continue
        said = [{"name": "requirement", "value": wanted.strip()}]
        found[name] = _component("library", name, purl=f"pkg:pypi/{name}", properties=said)
        found[name]["scope"] = "optional" if optional else "required"
    return [found[name] for name in sorted(found)]


def document(wheel: Path, epoch: int) -> dict[str, Any]:
    """The bill of ``wheel``, whose time is ``epoch`` (seconds since 1970)."""
    with zipfile.ZipFile(wheel) as archive:
        (place,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        metadata = email.message_from_bytes(archive.read(place))
        libraries = _libraries(archive)
        data = [_component("data", "fashion-mnist-sample", "MIT", hashes=_hashes(archive.read(SAMPLE)))]
    content = wheel.read_bytes()
    subject = _component("library", metadata["Name"], version=metadata["Version"], hashes=_hashes(content))
    subject["purl"] = f"pkg:pypi/{metadata['Name']}@{metadata['Version']}"
    subject["licenses"] = [{"expression": metadata["License-Expression"]}]
    packages = _requirements(metadata)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(content).hexdigest())}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": subject,
        },
        "components": [*libraries, *data, *packages],
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": sorted(p["bom-ref"] for p in packages if p["scope"] == "required")}
        ],
    }


def text(wheel: Path, epoch: int) -> str:
    return json.dumps(document(wheel, epoch), indent=1) + "\n"


def main(arguments: list[str]) -> int:
    (wheel,) = map(Path, arguments)
    print(text(wheel, int(os.environ.get("SOURCE_DATE_EPOCH") or repair.NO_COMMIT)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
