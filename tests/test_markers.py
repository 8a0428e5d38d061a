"""A test of what this machine lacks is skipped with the reason, and fails where the machine was said to have it."""

from __future__ import annotations

import os

import conftest
import pytest
import torch
from gpu_machine import simulate

from gsdd_runtime.decoders import dali_operator


class Marked:
    """A test item with one marker."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def get_closest_marker(self, name: str) -> str | None:
        return name if name == self.marker else None


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(conftest, "find_spec", lambda name: None)
    monkeypatch.setattr("browser._program", lambda: None)
    monkeypatch.setattr(dali_operator, "find_spec", lambda name: None)


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        ("cuda", "no CUDA device"),
        ("tensorrt", "none of tensorrt"),
        ("dali", "DALI is not"),
        ("browser", "no Chromium"),
    ],
)
def test_missing_hardware(marker: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"GSDD_REQUIRE_{marker.upper()}"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        conftest.pytest_runtest_setup(Marked(marker))
    monkeypatch.setenv(variable, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{reason}.*{variable}"):
        conftest.pytest_runtest_setup(Marked(marker))
    conftest.pytest_runtest_setup(Marked("slow"))


def test_a_gpu_without_our_kernel_skips_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)
    monkeypatch.delenv("GSDD_REQUIRE_CUDA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="built without its CUDA kernel"):
        conftest.pytest_runtest_setup(Marked("cuda"))
    simulate(monkeypatch, architectures="90-real")
    conftest.pytest_runtest_setup(Marked("cuda"))


def test_a_test_without_the_marker_sees_no_gpu() -> None:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert not torch.cuda.is_available()
