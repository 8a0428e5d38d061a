"""The operator's names, attributes, dtypes and tolerances, as plugins/op_contract.json states them for every door."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import installed_file

FORWARD = "GaussianSplat"
BACKWARD = "GaussianSplatGrad"


@lru_cache(maxsize=1)
def read() -> dict[str, Any]:
    """The whole contract.

    Raises:
        LibraryNotBuiltError: the file is not installed.
    """
    path = installed_file("op_contract.json")
    if path is None:
        raise LibraryNotBuiltError(
            "op_contract.json is not installed: run `make build` in a checkout, or install a wheel"
        )
    contract: dict[str, Any] = json.loads(path.read_text())
    return contract


DOMAIN: str = read()["domain"]
VERSION: int = read()["version"]
