"""The oldest versions that pyproject.toml admits: ``python release/bounds.py [EXTRA...]`` prints them for pip.

pip install $(python release/bounds.py export onnxruntime)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_REQUIREMENT = re.compile(r"([A-Za-z][\w.-]*)\s*(?:>=|==)\s*([\w.]+)")


def requirements(text: str, extra: str | None = None) -> list[str]:
    """What the package asks for, or what one of its extras does, as it stands in the text of pyproject.toml."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads(text)["project"]
    found: list[str] = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return found


def lower_bounds(wanted: list[str]) -> dict[str, str]:
    """Name and oldest version of each requirement that has one and is for every Python."""
    matches = [_REQUIREMENT.match(requirement) for requirement in wanted if "python_version" not in requirement]
    return {match[1].lower(): match[2] for match in matches if match is not None}


def main(arguments: list[str]) -> int:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = [requirement for extra in (None, *arguments) for requirement in requirements(text, extra)]
    print(*(f"{name}=={version}" for name, version in lower_bounds(wanted).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
