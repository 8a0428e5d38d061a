"""A test of what this machine lacks is skipped with the reason, and fails where the machine was said to have it."""

from __future__ import annotations

import conftest
import pytest
import torch


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


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(("marker", "reason"), [("cuda", "no CUDA device"), ("tensorrt", "none of tensorrt")])
def test_missing_hardware(marker: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"GSDD_REQUIRE_{marker.upper()}"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        conftest.pytest_runtest_setup(Marked(marker))
    monkeypatch.setenv(variable, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{reason}.*{variable}"):
        conftest.pytest_runtest_setup(Marked(marker))
    conftest.pytest_runtest_setup(Marked("slow"))
