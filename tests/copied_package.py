"""The package in a folder of its own, for processes that have to use that copy and no other."""

from __future__ import annotations

# Folders of the checkout, and where the package has them.
FOLDERS = {"gsdd_runtime": "gsdd_runtime", "export": "gsdd_runtime/export"}
# Python runs this at its start, in the processes that tests start too: the copy wins over an editable install, and
# over the checkout where that is the current folder.
SITECUSTOMIZE = """
import sys
from importlib.machinery import PathFinder


class Copy:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{copy!r}]) if name == "gsdd_runtime" else None


sys.meta_path[:] = [Copy, *(f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder")]
"""
