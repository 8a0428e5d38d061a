"""Markers that skip what this machine cannot run, and the fixtures that go over the doors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

import pytest
import torch
from browser import browser_missing
from doors import DOORS, Door

from gsdd_runtime.decoders.dali_operator import dali_problem
from gsdd_runtime.devices import cuda_index, cuda_problem
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import plugin_library

_TENSORRT = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


def _no_cuda() -> str | None:
    return cuda_problem(cuda_index()) if torch.cuda.is_available() else "torch finds no CUDA device"


def _no_tensorrt() -> str | None:
    return None if any(map(find_spec, _TENSORRT)) else f"none of {', '.join(_TENSORRT)} is installed"


def _no_dali() -> str | None:
    problem = dali_problem()
    if problem is not None:
        return problem
    try:
        plugin_library("dali")
    except LibraryNotBuiltError as error:
        return str(error)
    return None


# Marker: why it cannot run here, and the variable that makes that a failure.
_NEEDS = {
    "cuda": (_no_cuda, "GSDD_REQUIRE_CUDA"),
    "tensorrt": (_no_tensorrt, "GSDD_REQUIRE_TENSORRT"),
    "dali": (_no_dali, "GSDD_REQUIRE_DALI"),
    "browser": (browser_missing, "GSDD_REQUIRE_BROWSER"),
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Only tests that are marked with cuda see a GPU, here and in their processes: the others run alike everywhere."""
    if item.get_closest_marker("cuda") is not None:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        return (yield)


def _required(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (why_not, variable) in _NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        reason = why_not()
        if reason is not None and _required(variable):
            pytest.fail(f"{reason}, and {variable} is set", pytrace=False)
        if reason is not None:
            pytest.skip(reason)


def pytest_configure() -> None:
    # Folders of images that tests make leave nothing outside them; the tests of the cache name a place of their own.
    os.environ["GSDD_CACHE"] = "off"
    # The tests' images are so small that two threads only wait for one another.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A test may take more threads; the next one starts with one again."""
    yield
    torch.set_num_threads(1)


def _parameters(doors: Iterable[Door]) -> list:
    return [pytest.param(d, id=d.name, marks=[getattr(pytest.mark, m) for m in d.marks]) for d in doors]


def _runnable(door: Door) -> Door:
    reason = door.missing()
    if reason is not None:
        pytest.skip(reason)
    return door


@pytest.fixture(params=_parameters(DOORS))
def door(request: pytest.FixtureRequest) -> Door:
    """Each door in turn; the test is skipped where the door cannot run."""
    return _runnable(request.param)


@pytest.fixture(params=_parameters(door for door in DOORS if door.gradient))
def gradient_door(request: pytest.FixtureRequest) -> Door:
    """Each door that has a gradient."""
    return _runnable(request.param)


@pytest.fixture(scope="session")
def unavailable() -> dict[str, str]:
    """Why each of the doors that cannot run here cannot, by name."""
    reasons = {}
    for door in DOORS:
        whys = [_NEEDS[marker][0]() for marker in door.marks if marker in _NEEDS]
        reason = next(filter(None, whys), None) or door.missing()
        if reason:
            reasons[door.name] = reason
    return reasons
