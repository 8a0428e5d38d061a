"""Options are declared once: what is made of the declarations, and what is refused by them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from distill_data import SMALL, blobs

from gsdd_runtime import distill
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation import options as options_module
from gsdd_runtime.distillation.declared import declared, option, taken
from gsdd_runtime.distillation.objectives import OBJECTIVES, Objective
from gsdd_runtime.distillation.options import CommonOptions, all_options, resolve
from gsdd_runtime.distillation.options_table import options_table, with_table
from gsdd_runtime.distillation.representations import REPRESENTATIONS
from gsdd_runtime.errors import InputError

DOCS = Path(__file__).parent.parent / "docs" / "distilling.md"
OWN = [made.Options for codings in REPRESENTATIONS.values() for made in codings.values()]
OWN += [made.Options for made in OBJECTIVES.values()]


@pytest.mark.parametrize("options", [CommonOptions, *OWN], ids=lambda options: options.__qualname__)
def test_every_field_is_an_option_with_a_help_text_of_one_line(options: Any) -> None:
    assert is_dataclass(options)
    # What is no option is found out by the method, and left open until then.
    others = {field.name: field.default for field in fields(options)}
    for one in declared(options):
        del others[one.name]
    assert set(others.values()) <= {None}
    for one in declared(options):
        assert one.help.endswith(".")
        assert "\n" not in one.help
        assert one.default is not None or one.shown is not None, f"{one.name}: say its default in words"


def test_no_own_option_has_the_name_of_a_common_one_and_equal_names_have_one_kind() -> None:
    common = {one.name for one in declared(CommonOptions)}
    kinds: dict[str, Any] = {}
    for options in OWN:
        for one in declared(options):
            assert one.name not in common
            form = (one.kind, one.least, one.most)
            assert kinds.setdefault(one.name, form) == form, f"{one.name} is declared with two types or ranges"


def test_the_documentation_s_table_is_made_of_the_declarations() -> None:
    text = DOCS.read_text()
    assert with_table(text) == text, "run: python -m gsdd_runtime.distillation.options_table docs/distilling.md"
    for name in all_options():
        assert f"| `{name}` |" in options_table()


def test_python_s_signature_and_help_are_made_of_them_too() -> None:
    parameters = inspect.signature(distill).parameters
    for name, declarations in all_options().items():
        assert parameters[name].default == (None if declarations[0].owners else declarations[0].option.default)
        assert f"        {name}: " in (distill.__doc__ or "")


def test_the_command_s_help_says_whose_an_option_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["distill", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--outer-loops" in shown
    assert "[method dc] Steps that a network is drawn for." in shown
    assert "[method dm] Images move once a step" in shown


def test_the_file_s_record_holds_the_options_that_the_run_used_and_no_others() -> None:
    made = distill(blobs(), device="cpu", **SMALL)
    used = {one.name for options in (CommonOptions, OWN[0], OBJECTIVES["dm"].Options) for one in declared(options)}
    assert used | {"gaussians_per_image", "mean", "std", "zca"} == made.options.keys()


def test_one_name_with_other_words_is_told_of_for_each_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Objective):
        @dataclass(frozen=True)
        class Options:
            batch_real: int = option(7, "Something else.", least=1)

    monkeypatch.setitem(options_module.OBJECTIVES, "other", Other)
    first, *_, last = all_options()["batch_real"]
    assert (first.owners, last.owners) == (("method dm", "method dc"), ("method other",))
    assert last.option.default == 7


@dataclass(frozen=True)
class Some:
    count: int = option(3, "A count.", least=2, most=5)
    rate: float | None = option(None, "A rate.", above=0, shown="half")
    kind: str = option("a", "A kind.", choices=lambda: ("a", "b"))


def test_what_is_not_given_has_its_default() -> None:
    assert taken(Some, {}) == Some(3, None, "a")
    assert taken(Some, {"count": None, "rate": 2, "other": 1}) == Some(3, 2, "a")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 1}, "count must be a whole number of at least 2, got 1"),
        ({"count": 6}, "count must be at most 5, got 6"),
        ({"count": 2.5}, "count must be a whole number"),
        ({"rate": 0}, "rate must be a number above 0, got 0"),
        ({"rate": "fast"}, "rate must be a number above 0, got 'fast'"),
        ({"rate": True}, "rate must be a number above 0, got True"),
        ({"kind": "c"}, "kind 'c' is not known: choose one of a, b"),
        ({"kind": ["a"]}, "kind ['a'] is not known"),
    ],
)
def test_what_is_out_of_range_is_told_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        taken(Some, given)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"outer_loops": 3}, "outer_loops is an option of method dc, not of method dm: leave it out"),
        (
            {"method": "dc", "update": "class"},
            "update is an option of method dm and method ncfm and method dance, not of method dc",
        ),
        ({"pixel_bits": 3}, "pixel_bits is an option of representation pixels with coding entropy, not of"),
        ({"nonsense": 3}, "option 'nonsense' is not known: choose one of method, "),
    ],
)
def test_an_option_of_another_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve({**given, "gpc": 2}, blobs())
    assert told in str(caught.value)


def test_the_command_refuses_it_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = f"distill --dataset fashion-mnist-sample --out {tmp_path}/a.safetensors --outer-loops 2"
    assert run(line.split()) == 2
    assert "outer_loops is an option of method dc, not of method dm" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
