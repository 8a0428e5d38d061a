"""Experts: networks trained on real images, their weights after every epoch, and the folder that keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_images, folder_of
from expert_data import DATA, EPOCHS, FILES, LENGTH, NETWORK, SEED, contents, made
from torch import Tensor
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.atomic import sole_writer
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import BusyError, GsddError, InputError
from gsdd_runtime.experts import ExpertFolder, making
from gsdd_runtime.experts.subject import Subject, flattened
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.training.augmentation import draw_dsa


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts; not to be changed."""
    path = tmp_path_factory.mktemp("experts") / "folder"
    made(path)
    return path


def by_hand(number: int, *, momentum: float = 0.0, decay: float = 0.0, dsa: bool = True) -> list[Tensor]:
    """The weights of an expert at its start and after each epoch, from SGD's formula."""
    network = networks.build(NETWORK, 1, 3, (8, 8), seed=derived_seed(SEED, "expert", number, "network"))
    parts = list(network.parameters())
    speeds = [torch.zeros_like(part) for part in parts]
    rows = [torch.cat([part.detach().clone().flatten() for part in parts])]
    for epoch in range(1, EPOCHS + 1):
        generator = derived_generator(SEED, "expert", number, "epoch", epoch)
        for indices in torch.randperm(len(DATA.train_labels), generator=generator).split(7):
            images = (DATA.train_images[indices].float() / 255 - DATA.mean[0]) / DATA.std[0]
            if dsa:
                images = draw_dsa(generator, len(indices)).apply(images)
            loss = functional.cross_entropy(network(images), DATA.train_labels[indices])
            with torch.no_grad():
                for part, speed, gradient in zip(parts, speeds, torch.autograd.grad(loss, parts), strict=True):
                    speed.mul_(momentum).add_(gradient + decay * part)
                    part -= 0.01 * speed
        rows.append(torch.cat([part.detach().clone().flatten() for part in parts]))
    return rows


def test_an_expert_is_sgd_on_the_prepared_real_images(folder: Path) -> None:
    experts = ExpertFolder(folder)
    assert (len(experts), experts.epochs, experts.subject.network) == (2, EPOCHS, NETWORK)
    for number in range(2):
        rows = by_hand(number)
        for epoch, expected in enumerate(rows):
            torch.testing.assert_close(experts.parameters(number, epoch), expected, rtol=1e-5, atol=1e-6)
        # Each epoch has weights of its own.
        assert len({row.sum().item() for row in rows}) == EPOCHS + 1


def test_every_option_of_sgd_counts(tmp_path: Path) -> None:
    options = {"momentum": 0.5, "weight_decay": 0.1, "augment": "none", "count": 1}
    experts = made(tmp_path / "experts", **options)
    for epoch, expected in enumerate(by_hand(0, momentum=0.5, decay=0.1, dsa=False)):
        torch.testing.assert_close(experts.parameters(0, epoch), expected, rtol=1e-5, atol=1e-6)


def test_an_expert_does_not_depend_on_how_many_there_are(folder: Path, tmp_path: Path) -> None:
    made(tmp_path / "experts", count=1)
    assert contents(tmp_path / "experts") == {FILES[0]: (folder / FILES[0]).read_bytes()}


def test_a_file_says_what_it_is_of(folder: Path) -> None:
    experts = ExpertFolder(folder)
    about = experts.about[1]
    assert about.subject == Subject.of(NETWORK, DATA)
    assert about.subject.fingerprint == DATA.fingerprint
    assert about.subject.parameters[0] == ("features.0.weight", (4, 1, 3, 3))
    assert (about.subject.mean, about.subject.std, about.subject.zca) == (DATA.mean, DATA.std, None)
    assert (about.seed, about.number) == (SEED, 1)
    assert dict(about.protocol) == {
        "epochs": EPOCHS, "batch_size": 7, "learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0,
        "augment": "dsa",
    }  # fmt: skip
    assert [epoch for epoch, _ in about.accuracies] == [1, 2, 3]


def test_accuracies_are_of_the_test_images(folder: Path) -> None:
    experts = ExpertFolder(folder)
    images = (DATA.test_images.float() / 255 - DATA.mean[0]) / DATA.std[0]
    for number in range(2):
        for epoch, accuracy in experts.about[number].accuracies:
            network = experts.network(number, epoch)
            assert torch.equal(flattened(network), experts.parameters(number, epoch))
            assert not network.training
            assert accuracy == (network(images).argmax(dim=1) == DATA.test_labels).double().mean().item()
    assert experts.accuracy == sum(about.accuracies[-1][1] for about in experts.about) / 2


def test_experts_of_whitened_data_see_whitened_images(tmp_path: Path) -> None:
    data = DATA.whitened(cache=False)
    assert data.zca is not None
    experts = made(tmp_path / "experts", data, count=1, epochs=1, batch_size=30, augment="none")
    images, tests = (
        ((part.float() / 255).flatten(1) @ data.zca[:-1] + data.zca[-1]).view(part.shape)
        for part in (DATA.train_images, DATA.test_images)
    )
    network = experts.network(0, 0)
    parts = list(network.parameters())
    gradients = torch.autograd.grad(functional.cross_entropy(network(images), DATA.train_labels), parts)
    moved = torch.cat([(part - 0.01 * slope).flatten() for part, slope in zip(parts, gradients, strict=True)])
    torch.testing.assert_close(experts.parameters(0, 1), moved.detach(), rtol=1e-5, atol=1e-6)
    right = (experts.network(0)(tests).argmax(dim=1) == DATA.test_labels).double().mean().item()
    assert experts.about[0].accuracies == ((1, right),)
    assert experts.subject.zca is not None
    assert ExpertFolder(tmp_path / "experts").subject == Subject.of(NETWORK, data) != Subject.of(NETWORK, DATA)


def test_long_training_is_tested_a_few_times() -> None:
    assert [epoch for epoch in range(1, 51) if making.is_tested(epoch, 50)] == [10, 20, 30, 40, 50]
    assert [epoch for epoch in range(1, 4) if making.is_tested(epoch, 3)] == [1, 2, 3]


def test_real_data_without_a_test_part_will_do(tmp_path: Path) -> None:
    experts = made(tmp_path / "experts", easy_data(test=None), count=1)
    assert (experts.about[0].accuracies, experts.accuracy) == ((), None)


class StopError(Exception):
    pass


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize(("ends", "interval"), [(KeyboardInterrupt, 1e9), (StopError, 0.0)])
def test_a_stopped_run_goes_on_at_its_epoch_and_ends_in_the_same_bytes(
    ends: type[BaseException], interval: float, momentum: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ctrl-C saves what is done; whatever else ends the run leaves what was saved before.
    monkeypatch.setattr(making, "SAVING_INTERVAL", interval)
    seen: list[int] = []

    def stopping(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step == EPOCHS + 2 and ends is not None:
            raise ends

    made(tmp_path / "whole", momentum=momentum)
    place = tmp_path / "experts"
    with pytest.raises(ends):
        made(place, momentum=momentum, progress=stopping)
    assert sorted(contents(place)) == [FILES[0], f"{FILES[1]}.checkpoint"]
    ends = None  # type: ignore[assignment]
    seen.clear()
    with pytest.raises(InputError, match="holds experts: add --resume"):
        made(place, momentum=momentum)
    made(place, momentum=momentum, resume=True, progress=stopping)
    # The first expert was there, and the second went on after its first epoch.
    assert seen == [EPOCHS, EPOCHS + 2, EPOCHS + 3, 2 * EPOCHS]
    assert contents(place) == contents(tmp_path / "whole")


def test_what_a_killed_run_left_half_written_is_no_trouble(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "experts"
    place.mkdir()
    for name in (f".{FILES[0]}.ab_1.partial", f".{FILES[1]}.checkpoint.ab_1.partial", f".{FILES[0]}.lock"):
        (place / name).write_bytes(b"half")
    made(place, resume=True)
    assert contents(place) == contents(folder)


def test_another_runs_expert_is_passed_over(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "experts"
    place.mkdir()
    with sole_writer(place / FILES[0]):
        assert len(made(place, resume=True)) == 1
        assert (place / FILES[1]).read_bytes() == (folder / FILES[1]).read_bytes()
        (place / FILES[1]).unlink()
        with sole_writer(place / FILES[1]), pytest.raises(BusyError, match="are training all 2 experts"):
            made(place, resume=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.02}, "of a run with learning_rate 0.01, not 0.02"),
        ({"seed": 6}, "of a run with seed 5, not 6"),
        ({"epochs": 4}, "of a run with epochs 3, not 4"),
        ({"augment": "none"}, "of a run with augment 'dsa', not 'none'"),
        ({"network": "convnet1-w8"}, "is of experts of convnet1-w4 for 8x8, not of convnet1-w8 for 8x8"),
        ({"data": easy_data(name="other", train=easy_images(30, 1, 9))}, "is of experts on other real data (easy, "),
    ],
)
def test_another_run_does_not_fill_the_folder(changes: dict[str, Any], words: str, folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(InputError) as caught:
        made(folder, resume=True, **changes)
    assert words in str(caught.value)
    assert FILES[0] in str(caught.value)
    assert contents(folder) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"mine")
    for changes in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match=r"holds something else \(photo.png\)"):
            made(tmp_path, **changes)
    assert contents(tmp_path) == {"photo.png": b"mine"}


def test_overwrite_makes_them_anew(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "experts"
    made(place, seed=6, count=2)
    with pytest.raises(InputError, match="add --resume to go on with it, --overwrite to make them anew"):
        made(place, count=1)
    made(place, count=1, overwrite=True)
    assert contents(place) == {FILES[0]: (folder / FILES[0]).read_bytes()}


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(GsddError, match="expert 0 is not finite after epoch 1: make experts with a learning"):
        made(tmp_path / "experts", learning_rate=1e30)
    assert contents(tmp_path / "experts") == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "count must be"), ({"epochs": 0}, "epochs must be"), ({"seed": -1}, "seed must be"),
        ({"learning_rate": -1.0}, "learning_rate must be"), ({"momentum": 1.0}, "momentum must be"),
        ({"augment": "mixup"}, "augment 'mixup' is not known"), ({"network": "convnet99"}, "unknown network"),
        ({"network": "convnet1-w4-batch"}, "keeps running statistics"),
    ],
)  # fmt: skip
def test_options_are_refused_before_there_is_a_folder(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        made(tmp_path / "experts", **changes)
    assert list(tmp_path.iterdir()) == []


def test_room_for_all_of_them_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(making, "check_room", lambda path, size: asked.append(size))
    made(tmp_path / "experts")
    assert asked == [2 * (EPOCHS + 1) * Subject.of(NETWORK, DATA).length * 4]


def test_experts_of_two_kinds_are_no_folder(folder: Path, tmp_path: Path) -> None:
    for changes, words in (
        ({"network": "convnet1-w8"}, "is of experts of convnet1-w8 for 8x8, not of convnet1-w4 for 8x8"),
        ({"data": easy_data(train=easy_images(30, 1, 9))}, "is of experts on other real data"),
        ({"epochs": 4}, "has 4 epochs, trajectory-0000.safetensors has 3"),
    ):
        place = tmp_path / words[-8:].replace("/", "")
        made(place, count=2, **changes)  # type: ignore[arg-type]
        (place / FILES[0]).write_bytes((folder / FILES[0]).read_bytes())
        with pytest.raises(InputError) as caught:
            ExpertFolder(place)
        assert words in str(caught.value)


def test_whoever_needs_other_experts_is_told(folder: Path) -> None:
    experts = ExpertFolder(folder)
    experts.check_fits(NETWORK, DATA)
    others = easy_data(name="others", train=easy_images(30, 1, 9))
    command = "`gsdd-rt experts --dataset {} --network {} --out DIR`"
    for network, data, words in (
        ("convnet2-w4", DATA, "is of experts of convnet1-w4 for 8x8, not of convnet2-w4 for 8x8"),
        (NETWORK, others, f"on other real data (easy, {DATA.fingerprint.rpartition(':')[2][:8]}), not of others"),
    ):
        with pytest.raises(InputError) as caught:
            experts.check_fits(network, data)
        assert words in str(caught.value)
        assert command.format(data.name, network) in str(caught.value)
    same = DATA.preparation
    experts.check_preparation(same)
    for preparation in (
        Preparation("the set", (1, 8, 8), (0.0,), (1.0,)),
        Preparation("the set", (1, 8, 8), DATA.mean, DATA.std, torch.zeros(65, 64)),
        Preparation("the set", (1, 16, 16), DATA.mean, DATA.std),
    ):
        with pytest.raises(InputError, match="the set"):
            experts.check_preparation(preparation)


def test_missing_experts_name_the_command(tmp_path: Path) -> None:
    command = f"`gsdd-rt experts --dataset ... --network ... --out {tmp_path}"
    with pytest.raises(InputError) as caught:
        ExpertFolder(tmp_path)
    assert f"{tmp_path} holds no experts: make some with {command}`" in str(caught.value)
    with pytest.raises(InputError) as caught:
        ExpertFolder(tmp_path / "none")
    assert f"No such file or directory: make it with {command}/none`" in str(caught.value)


def test_an_epoch_or_an_expert_that_is_not_there_is_refused(folder: Path) -> None:
    experts = ExpertFolder(folder)
    assert torch.equal(experts.parameters(1, -1), experts.parameters(1, EPOCHS))
    for number, epoch, words in (
        (2, 0, "has experts 0 to 1, not 2"),
        (0, 4, "epochs 0 to 3, not 4"),
        (-1, 0, "not -1"),
    ):
        with pytest.raises(InputError, match=words):
            experts.parameters(number, epoch)


def test_the_fingerprint_is_of_these_experts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / FILES[0]).write_bytes((folder / FILES[0]).read_bytes())
    assert ExpertFolder(folder).fingerprint == ExpertFolder(folder).fingerprint
    assert ExpertFolder(folder).fingerprint != ExpertFolder(tmp_path).fingerprint


def test_the_command_makes_experts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = folder_of(easy_data(class_names=("bottom", "middle", "top")), tmp_path / "photos")
    options = f"--network {NETWORK} --count 2 --epochs 3 --device cpu"
    words = f"experts --dataset {dataset} {options} --out {tmp_path}/experts"
    assert run(words.split()) == 0
    told = capsys.readouterr().out
    experts = ExpertFolder(tmp_path / "experts")
    assert experts.accuracy is not None
    assert told == (
        f"{tmp_path}/experts: 2 experts of {NETWORK}, 3 epochs each, {LENGTH} parameters; "
        f"at the end {100 * experts.accuracy:.1f} % of real test images\n"
    )
    assert run([*words.split(), "--resume"]) == 0
    assert capsys.readouterr().out == told
    assert run(words.split()) == 2
    assert "add --resume" in capsys.readouterr().err
