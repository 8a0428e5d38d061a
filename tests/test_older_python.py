"""What differs between versions of Python, and is held to be alike here."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from gsdd_runtime.commands import shared


def test_an_argument_that_may_be_left_out_stays_one_in_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def before_3_11(thing: Any, **options: Any) -> dict[str, Any]:
        parameters = inspect.signature(thing).parameters
        optional = {name for name, each in parameters.items() if each.default is None and inspect.isfunction(thing)}
        hints = typing.get_type_hints(thing, **options)
        return {name: typing.Optional[hint] if name in optional else hint for name, hint in hints.items()}  # noqa: UP045

    monkeypatch.setattr(shared, "get_type_hints", before_3_11)

    @shared.takes_data()
    def command(paths: Annotated[list[Path] | None, typer.Argument()] = None, *, data: shared.DataOptions) -> None:
        """Does nothing."""

    hint = inspect.signature(command).parameters["paths"].annotation
    assert (typing.get_origin(hint), hint.__metadata__[0].__class__.__name__) == (Annotated, "ArgumentInfo")
