"""``gsdd-rt train``: train one network on a distilled set and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import (
    DataDirOption,
    DeviceOption,
    NetworkOption,
    OverwriteOption,
    SeedOption,
    SetArgument,
    TestPartOption,
    load_data,
    progress_bar,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.sets.distilled_set import DistilledSet


def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The file to write (.safetensors).")],
    network: NetworkOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the set.")] = 1000,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Test on it at the end; named as for distill. [default: no test]")
    ] = None,
    data_dir: DataDirOption = None,
    test_part: TestPartOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Train a network on a distilled set and write its weights; with --dataset, test it on real images too."""
    from gsdd_runtime.datasets import folders_of
    from gsdd_runtime.evaluation.accuracy import with_statistics
    from gsdd_runtime.networks import chosen
    from gsdd_runtime.networks.model_file import check_saving, save_model
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.trainer import fit_to_set, train

    place = outputs.Output("--out", out, outputs.MODEL)
    reads = [path, *folders_of(dataset or "", data_dir)]
    with outputs.claim([place], reads=reads, overwrite=overwrite), progress_bar() as progress:
        distilled = DistilledSet.load(path)
        data = _data(distilled, dataset, data_dir, test_part)
        if data is not None:
            distilled = with_statistics(distilled, data)
        network = chosen(network, (distilled.height, distilled.width))
        # The name of a file may hold what a description may not.
        name = path.name if path.name.isprintable() else ascii(path.name)
        about: dict[str, Any] = {
            "network": network,
            "distilled_set": distilled,
            "training": {"epochs": epochs, "seed": seed, "set": name},
        }
        check_saving(out, **about)
        model = train(distilled, network=network, epochs=epochs, seed=seed, device=device, progress=progress)
        save_model(model, out, **about)
    print(f"{out}: {network} trained on {counted(len(distilled), 'image')} for {counted(epochs, 'epoch')}")
    loss, accuracy = fit_to_set(model, distilled)
    print(f"  on the set itself    {percent(accuracy, 0.0, 1)}, loss {loss:.4g}")
    if data is None:
        print(f"  on real test images  not tested: gsdd-rt eval {out} --dataset ...")
        return
    from gsdd_runtime.evaluation.trained import evaluate_model
    from gsdd_runtime.networks.model_file import load_model
    from gsdd_runtime.networks.outside import without_file

    # The file is what is tested: it is what will be used.
    result = evaluate_model(load_model(out, network=without_file(network)), data, device=device)
    print(f"  on real test images  {percent(result.accuracy, 0.0, 1)} of {len(data.test_labels)}, of {data.name}")


def _data(
    distilled: DistilledSet, dataset: str | None, data_dir: Path | None, test_part: float | None
) -> RealData | None:
    """The data to test on, of the set's size, known to fit before anything is trained."""
    from gsdd_runtime.evaluation.real_test import check_fit

    if dataset is None:
        if data_dir is not None or test_part is not None:
            raise InputError(f"--{'test-part' if data_dir is None else 'data-dir'} needs --dataset: name the data too")
        return None
    size = (distilled.height, distilled.width)
    data = load_data(dataset, data_dir, f"{size[0]}x{size[1]}", test_part)
    check_fit(distilled, data, size)
    warn_of_other_data(distilled.fingerprint, size, data)
    return data
