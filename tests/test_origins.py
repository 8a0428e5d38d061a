"""Words for how the images of a set came about."""

from __future__ import annotations

import pytest
import torch
from easy_data import easy_data
from set_files import some_set

from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.evaluation.baselines import CHOICES, real_set
from gsdd_runtime.reports.account import account
from gsdd_runtime.sets.foreign import foreign_set
from gsdd_runtime.sets.origins import in_words, is_objective
from gsdd_runtime.sets.selection import merge_sets


@pytest.mark.parametrize("method", OBJECTIVES)
def test_what_an_objective_made_is_distilled(method: str) -> None:
    assert is_objective(method)
    assert in_words(method) == f"distilled by the objective {method}"
    assert in_words(method, "svhn") == f"distilled from svhn by the objective {method}"


def test_what_no_objective_made_is_not_called_distilled() -> None:
    chosen = {
        kind: real_set(easy_data(), kind, per_class=2, embed=lambda images: images.flatten(1).float())
        for kind in CHOICES
    }
    sets = {
        **chosen,
        "merged": merge_sets({"a": some_set(method="dm"), "b": some_set(method="tm")}),
        "imported": foreign_set(torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])),
        "fitted": some_set(method="fit"),
    }
    words = {
        "random": "real images, chosen at random",
        "herding": "real images, chosen by herding",
        "kcenter": "real images, chosen by kcenter",
        "merged": "merged from sets of different methods",
        "imported": "imported from another program",
        "fitted": "fitted to images",
    }
    for name, one in sets.items():
        assert one.method is not None
        assert not is_objective(one.method)
        assert in_words(one.method) == words[name]
        assert f", {words[name]}<" in one._repr_html_()
        lead = account(one.changed(options={"iterations": 7}), "a", 1234)["lead"]
        assert words[name][1:] in lead
        assert "step" not in lead


def test_words_name_the_data_where_it_is_known() -> None:
    assert in_words("herding-real", "svhn") == "real images of svhn, chosen by herding"
    assert in_words("fit", "svhn") == "fitted to images of svhn, without matching"
