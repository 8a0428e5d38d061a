"""DistilledDataset in an ordinary DataLoader: workers, indices only, a fault in a worker."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path

import pytest
import torch
from test_loader import make_set
from torch.utils.data import DataLoader

import gsdd_runtime as gsdd
from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.map_dataset import decoded
from gsdd_runtime.loading.opening import open_decoder


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_dataloader(workers: int, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    make_set().save(path)
    loader = DataLoader(gsdd.DistilledDataset(path), batch_size=8, num_workers=workers)
    images = torch.cat([images for images, _ in loader])
    assert torch.equal(images, make_set().decode(normalize=True))
    assert torch.equal(torch.cat([labels for _, labels in loader]), make_set().labels)


def test_samples_have_the_size_and_dtype_that_were_asked_for() -> None:
    dataset = gsdd.DistilledDataset(make_set(), size=(20, 24), dtype=torch.bfloat16, normalize=False)
    images = torch.stack([image for image, _ in dataset.__getitems__([7, 0])])
    assert torch.equal(images, make_set().decode([7, 0], 20, 24, dtype=torch.bfloat16))


def test_workers_hand_over_indices() -> None:
    distilled = make_set()
    indices = DataLoader(gsdd.DistilledDataset(distilled, indices_only=True), batch_size=8, num_workers=1)
    decoder = open_decoder("torch", distilled, device=torch.device("cpu"), normalize=True)
    images = torch.cat([images for images, _ in decoded(indices, decoder, torch.device("cpu"))])
    assert torch.equal(images, distilled.decode(normalize=True))


def test_travels_by_path(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    make_set(400).save(path)
    dataset = gsdd.DistilledDataset(path)
    message = pickle.dumps(dataset)
    assert len(message) < 2000
    assert torch.equal(pickle.loads(message)[3][0], dataset[3][0])


@pytest.mark.parametrize("index", [23, 99, -24])
@pytest.mark.parametrize("indices_only", [False, True], ids=["samples", "indices"])
def test_index_out_of_range(index: int, indices_only: bool) -> None:
    dataset = gsdd.DistilledDataset(make_set(), indices_only=indices_only)
    assert len(dataset) == 23
    with pytest.raises(InputError, match=f"index {index} is out of range: the set has images 0 to 22"):
        dataset[index]
    with pytest.raises(IndexError):
        dataset.__getitems__([0, index])


@pytest.mark.parametrize("index", [1.5, "3", slice(2), None], ids=str)
def test_what_is_no_index_is_refused(index: object) -> None:
    with pytest.raises(InputError, match=r"must be a whole number, got \w+"):
        gsdd.DistilledDataset(make_set())[index]  # type: ignore[index]
    with pytest.raises((InputError, TypeError)):
        gsdd.DistilledDataset(make_set()).__getitems__([index])  # type: ignore[list-item]


def test_a_loop_over_the_dataset_ends() -> None:
    distilled = make_set()
    samples = list(gsdd.DistilledDataset(distilled))
    assert torch.equal(torch.stack([image for image, _ in samples]), distilled.decode(normalize=True))
    assert torch.equal(torch.stack([label for _, label in samples]), distilled.labels)
    assert [int(index) for index in gsdd.DistilledDataset(distilled, indices_only=True)] == list(range(23))
    assert len([sample for sample in gsdd.DistilledDataset(distilled, as_dict=True)]) == 23  # noqa: C416 - a for loop


def test_negative_indices_count_from_the_end() -> None:
    distilled = make_set()
    dataset = gsdd.DistilledDataset(distilled)
    for index in (-1, -23):
        image, label = dataset[index]
        assert torch.equal(image, dataset[index + 23][0])
        assert label == distilled.labels[index]
    images = torch.stack([image for image, _ in dataset.__getitems__([-1, 0, torch.tensor(-2)])])
    assert torch.equal(images, distilled.decode([22, 0, 21], normalize=True))
    assert int(gsdd.DistilledDataset(distilled, indices_only=True)[-1]) == 22


class Killed(gsdd.DistilledDataset):
    """A dataset whose worker dies, as one does that the kernel kills for its memory."""

    def __getitems__(self, indices: list[int]) -> list:
        if indices[0] >= 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitems__(indices)


def test_a_killed_worker_is_an_exception() -> None:
    loader = DataLoader(Killed(make_set()), batch_size=8, num_workers=1)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(loader)
    assert len(list(DataLoader(gsdd.DistilledDataset(make_set()), batch_size=8))) == 3


def test_goes_on_in_a_stateful_dataloader() -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    dataset = gsdd.DistilledDataset(make_set())

    def loader() -> object:
        return stateful.StatefulDataLoader(dataset, batch_size=4, num_workers=1)

    first = loader()
    iterator = iter(first)
    for _ in range(2):
        next(iterator)
    second = loader()
    second.load_state_dict(first.state_dict())
    rest = torch.cat([images for images, _ in second])
    assert torch.equal(rest, make_set().decode(range(8, 23), normalize=True))


def test_feeds_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3 * 16 * 16, 5)
            self.seen = 0

        def training_step(self, batch: tuple, index: int) -> torch.Tensor:
            images, labels = batch
            self.seen += len(images)
            return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    model = Model()
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, DataLoader(gsdd.DistilledDataset(make_set()), batch_size=8))
    trainer.fit(Model(), gsdd.DistilledLoader(make_set(), 8, device="cpu"))
    assert model.seen == 46


def test_feeds_the_trainer_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3 * 16 * 16, 5)

        def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.layer(pixel_values.flatten(1))
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    dataset = gsdd.DistilledDataset(make_set(), as_dict=True)
    result = transformers.Trainer(Model(), arguments, train_dataset=dataset).train()
    assert result.global_step == 4
