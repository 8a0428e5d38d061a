"""``gsdd-rt train``: train one network on a distilled set and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import BatchOption, EpochsOption, RateOption, RecipeOption, TeacherOption
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    NetworkOption,
    OverwriteOption,
    SeedOption,
    SetArgument,
    load_data_for,
    takes_data,
    warn_of_other_data,
)
from gsdd_runtime.progress import Reporter
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.sets.distilled_set import DistilledSet


TestedOption = Annotated[
    str | None, typer.Option("--dataset", help="Test on it at the end; named as for distill. [default: no test]")
]


@takes_data(dataset=TestedOption, without=("size",))
def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The file to write (.safetensors).")],
    network: NetworkOption = None,
    recipe: RecipeOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    teacher: TeacherOption = None,
    *,
    data: DataOptions,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Train a network on a distilled set and write its weights; with --dataset, test it on real images too."""
    from gsdd_runtime.evaluation.accuracy import with_statistics
    from gsdd_runtime.experts.teaching import load_labels, teacher_path
    from gsdd_runtime.networks import chosen
    from gsdd_runtime.networks.model_file import check_saving, save_model
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.recipe import recipe_for
    from gsdd_runtime.training.trainer import fit_to_set, train
    from gsdd_runtime.training.view_labels import as_labelled

    place = outputs.Output("--out", out, outputs.MODEL)
    taught_by = None if teacher is None else teacher_path(teacher)
    reads = [path, taught_by, *data.folders()]
    with outputs.claim([place], reads=reads, overwrite=overwrite), progress_bar() as progress:
        distilled = DistilledSet.load(path)
        tested = _data(distilled, data, path, progress)
        if tested is not None:
            distilled = with_statistics(distilled, tested)
        network = chosen(network, (distilled.height, distilled.width))
        known = None if teacher is None else load_labels(teacher, distilled.preparation)
        recipe, epochs, batch_size = as_labelled(known, recipe, epochs, batch_size)
        by = recipe_for(
            recipe, distilled, network=network, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size
        )
        used = {name: getattr(by.recipe, name) for name in ("epochs", "learning_rate", "batch_size")}
        facts = {"recipe": by.name, **used, "seed": seed}
        about: dict[str, Any] = {
            "network": network,
            "distilled_set": distilled,
            "training": {**facts, "set": _name(path), **({} if taught_by is None else {"teacher": _name(taught_by)})},
        }
        check_saving(out, **about)
        model = train(
            distilled, network=network, recipe=recipe, epochs=epochs, learning_rate=learning_rate,
            batch_size=batch_size, teacher=known, seed=seed, device=device, progress=progress,
        )  # fmt: skip
        save_model(model, out, **about)
    print(f"{out}: {network} trained on {counted(len(distilled), 'image')} for {counted(by.recipe.epochs, 'epoch')}")
    loss, accuracy = fit_to_set(model, distilled)
    print(f"  on the set itself    {percent(accuracy, 0.0, 1)}, loss {loss:.4g}")
    if tested is None:
        print(f"  on real test images  not tested: gsdd-rt eval {out} --dataset ...")
        return
    from gsdd_runtime.evaluation.trained import evaluate_model
    from gsdd_runtime.networks.model_file import load_model
    from gsdd_runtime.networks.outside import without_file

    # The file is what is tested: it is what will be used.
    result = evaluate_model(load_model(out, network=without_file(network)), tested, device=device)
    print(f"  on real test images  {percent(result.accuracy, 0.0, 1)} of {len(tested.test_labels)}, of {tested.name}")


def _name(path: Path) -> str:
    """Of a file: one may hold what a description may not."""
    return path.name if path.name.isprintable() else ascii(path.name)


def _data(distilled: DistilledSet, options: DataOptions, path: Path, progress: Reporter) -> RealData | None:
    """The data to test on, of the set's size, known to fit before anything is trained."""
    from gsdd_runtime.evaluation.real_test import check_fit

    data = load_data_for(distilled, options, path, progress)
    if data is None:
        return None
    size = (distilled.height, distilled.width)
    check_fit(distilled, data, size)
    warn_of_other_data(distilled.fingerprint, size, data)
    return data
