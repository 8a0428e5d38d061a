"""A teacher's soft labels in a set: what they are, what they cost, and that every door takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from easy_data import easy_data, easy_set
from expert_data import made as made_experts
from set_files import some_gaussians, some_zca
from torch.nn import functional

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder
from gsdd_runtime.experts.teaching import load_teacher
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.relabeling import relabel
from gsdd_runtime.training.teacher import Teacher
from gsdd_runtime.training.trainer import train

DATA = easy_data()
FAST: dict[str, Any] = {"network": "convnet1-w8", "augment": None, "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows the classes."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_model(train(easy_set(DATA), epochs=40, **FAST), path, network="convnet1-w8", distilled_set=easy_set(DATA))
    return path


@pytest.fixture(scope="module")
def gaussians() -> DistilledSet:
    """A set that every exporter takes."""
    return DistilledSet(
        some_gaussians(9), torch.arange(9) % 3, 8, 8, class_names=DATA.class_names, mean=DATA.mean, std=DATA.std
    )


def test_labels_are_the_teachers_softmax_at_a_temperature(model: Path) -> None:
    distilled = easy_set(DATA)
    made = relabel(distilled, load_teacher(model), temperature=3.0, device="cpu")
    known = gsdd.load_model(model)
    expected = (known.logits(distilled.decode()) / 3).softmax(dim=1)
    torch.testing.assert_close(made.labels.float(), expected.detach(), rtol=0, atol=1e-3)
    assert torch.equal(made.rows(), distilled.rows())
    assert made.options["relabeled"] == {"teacher": "teacher.safetensors", "networks": 1, "temperature": 3.0}
    assert made.nbytes == distilled.image_nbytes + 9 * 3 * 2
    assert not torch.equal(made.labels, relabel(distilled, load_teacher(model), device="cpu").labels)


def test_a_teacher_of_another_preparation_or_size_sees_the_same_images(model: Path) -> None:
    """It prepares images itself, and a set of Gaussians is drawn at its size."""
    other = easy_set(DATA, mean=[0.9], std=[3.0])
    ours = relabel(easy_set(DATA), load_teacher(model), device="cpu")
    assert torch.equal(relabel(other, load_teacher(model), device="cpu").labels, ours.labels)
    large = DistilledSet(some_gaussians(6), torch.arange(6) % 3, 16, 16, mean=[0.9], std=[3.0])
    expected = gsdd.load_model(model).logits(large.decode(None, 8, 8)).softmax(dim=1)
    found = relabel(large, load_teacher(model), device="cpu")
    torch.testing.assert_close(found.labels.float(), expected.detach(), rtol=0, atol=1e-3)
    assert found.class_names == DATA.class_names


def test_experts_are_averaged_at_their_last_epoch(tmp_path: Path) -> None:
    made_experts(tmp_path / "experts")
    folder = ExpertFolder(tmp_path / "experts")
    distilled = easy_set(DATA)
    found = relabel(distilled, load_teacher(tmp_path / "experts"), temperature=2.0, device="cpu")
    images = (distilled.decode() - DATA.mean[0]) / DATA.std[0]
    shares = [(folder.network(number, folder.epochs)(images) / 2).softmax(dim=1) for number in range(len(folder))]
    torch.testing.assert_close(found.labels.float(), torch.stack(shares).mean(0).detach(), rtol=0, atol=1e-3)
    assert found.options["relabeled"]["networks"] == len(folder) == 2


def test_experts_that_whiten_need_a_set_that_does(tmp_path: Path) -> None:
    data = DATA.whitened()
    made_experts(tmp_path / "experts", data=data)
    assert data.zca is not None
    whitening = easy_set(DATA, zca=data.zca)
    found = relabel(whitening, load_teacher(tmp_path / "experts", whitening.preparation), device="cpu")
    network = ExpertFolder(tmp_path / "experts").network(0)
    assert found.labels.shape == (9, 3)
    assert not torch.equal(found.labels[0], network(whitening.decode(0)).softmax(dim=1)[0].half())
    with pytest.raises(InputError, match="take whitened images, and the set does not whiten"):
        load_teacher(tmp_path / "experts", easy_set(DATA).preparation)
    with pytest.raises(InputError, match="whitened otherwise"):
        load_teacher(tmp_path / "experts", easy_set(DATA, zca=some_zca(1, 8, 8)).preparation)


def test_a_coded_set_keeps_its_images(gaussians: DistilledSet, model: Path) -> None:
    coded = compress(gaussians).distilled_set
    found = relabel(coded, load_teacher(model), device="cpu")
    assert found.coded is not None
    assert not found.coded.labels
    torch.testing.assert_close(found.decode(), coded.decode(), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": 4}, "knows 4 classes, the set has 3"),
        ({"class_names": ("top", "bottom", "middle")}, "class 1 is 'middle' in the set and 'bottom' for the teacher"),
    ],
    ids=["number", "names"],
)
def test_a_teacher_of_other_classes_is_refused(change: dict[str, Any], words: str) -> None:
    facts: dict[str, Any] = {"classes": 3, "class_names": DATA.class_names, **change}
    network = networks.build("convnet1-w4", 1, facts["classes"], (8, 8), seed=0)
    teacher = Teacher("other", [network], DATA.preparation, **facts)
    with pytest.raises(InputError, match=words):
        relabel(easy_set(DATA), teacher, device="cpu")
    with pytest.raises(InputError, match=words):
        train(easy_set(DATA), epochs=1, teacher=teacher, **FAST)
    if change.get("classes") is None:
        with pytest.raises(InputError, match="temperature must be above 0"):
            relabel(easy_set(DATA, class_names=None), teacher, temperature=0.0, device="cpu")


def softened(distilled: DistilledSet, model: Path) -> DistilledSet:
    """Relabelled, and as a file gives it back."""
    path = model.parent / "soft.safetensors"
    relabel(distilled, load_teacher(model), temperature=4.0, device="cpu").save(path)
    return DistilledSet.load(path)


def test_a_teacher_of_other_channels_or_of_another_class_is_refused(model: Path) -> None:
    colored = DistilledSet(
        some_gaussians(6, channels=3), torch.arange(6) % 3, 8, 8, class_names=DATA.class_names,
        mean=[0.5] * 3, std=[0.5] * 3,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"the teacher teacher\.safetensors takes images of 1 channel"):
        relabel(colored, load_teacher(model), device="cpu")
    with pytest.raises(InputError, match="holds weights of convnet1-w8, not of own:Network: name that"):
        load_teacher(Path(f"own:Network@{model}"))


def test_door_training_takes_the_soft_labels(model: Path) -> None:
    soft = softened(easy_set(DATA), model)
    network = networks.build("convnet1-w8", 1, 3, (8, 8), derived_generator(0, "evaluate", 0))
    images = soft.decode(normalize=True)
    targets = soft.labels.float() / soft.labels.float().sum(dim=1, keepdim=True)
    expected = -(targets * network(images).log_softmax(dim=1)).sum(dim=1).mean()
    found = gsdd.evaluate(soft, DATA, epochs=1, repeats=1, **FAST)
    # All images are one batch: its loss is that of the fresh network.
    assert found.repeats[0].loss == pytest.approx(expected.item(), abs=1e-6)
    assert found.distilled["bytes"] == soft.image_nbytes + 9 * 3 * 2
    weights = [train(one, epochs=2, **FAST).classifier.weight for one in (soft, easy_set(DATA))]
    assert not torch.equal(*weights)


def test_door_loader_yields_the_soft_labels(gaussians: DistilledSet, model: Path) -> None:
    soft = softened(gaussians, model)
    labels = torch.cat([labels for _, labels in gsdd.DistilledLoader(soft, 4, shuffle=False)])
    assert torch.equal(labels.half(), soft.labels)
    _, label = gsdd.DistilledDataset(soft)[2]
    assert torch.equal(torch.as_tensor(label).half(), soft.labels[2])


def test_door_exporters_carry_the_soft_labels(gaussians: DistilledSet, model: Path, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from gsdd_runtime.export.onnx import export_onnx
    from gsdd_runtime.export.torchscript import export_torchscript

    soft = softened(gaussians, model)
    indices = torch.tensor([4, 0, 8])
    session = ort.InferenceSession(export_onnx(soft, tmp_path / "set.onnx"), providers=["CPUExecutionProvider"])
    (labels,) = session.run(["labels"], {"indices": indices.numpy()})
    assert torch.equal(torch.from_numpy(labels), soft.labels[indices])
    export_torchscript(soft, tmp_path / "set.pt")
    assert torch.equal(torch.jit.load(tmp_path / "set.pt")(indices)[1], soft.labels[indices])


def test_door_training_step_minimises_the_soft_labels(gaussians: DistilledSet, model: Path, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from gsdd_runtime.export.train_step import export_train_step

    soft = softened(gaussians, model)
    indices = torch.tensor([4, 0, 8])
    path = export_train_step(soft, tmp_path / "step.onnx", network="convnet1-w4", seed=5)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    loss = dict(zip(names, session.run(None, {"indices": indices.numpy()}), strict=True))["loss"]
    network = networks.build("convnet1-w4", 1, 3, (8, 8), seed=5)
    targets = functional.normalize(soft.labels[indices].float(), p=1, dim=1)
    expected = functional.cross_entropy(network(soft.decode(indices, normalize=True)), targets)
    np.testing.assert_allclose(float(loss), expected.item(), atol=1e-3)


def test_the_command_writes_what_the_library_makes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    easy_set(DATA).save(tmp_path / "set.safetensors")
    out = tmp_path / "soft.safetensors"
    line = ["relabel", str(tmp_path / "set.safetensors"), "--teacher", str(model), "--out", str(out)]
    assert run([*line, "--temperature", "4", "--device", "cpu"]) == 0
    expected = relabel(easy_set(DATA), load_teacher(model), temperature=4.0, device="cpu")
    made = DistilledSet.load(out)
    assert torch.equal(made.labels, expected.labels)
    text = capsys.readouterr().out
    assert text.startswith(f"{out}: 9 images labelled by 1 network, {made.nbytes} bytes after {9 * 128 + 9 * 8}\n")
    assert "100.00 % have the likeliest class that they had" in text


def test_a_teacher_is_used_by_the_commands(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    easy_set(DATA).save(tmp_path / "set.safetensors")
    out = tmp_path / "model.safetensors"
    line = ["train", str(tmp_path / "set.safetensors"), "--network", "convnet1-w8", "--out", str(out)]
    assert run([*line, "--recipe", "sre2l", "--epochs", "2", "--teacher", str(model), "--device", "cpu"]) == 0
    taught = gsdd.load_model(out)
    assert taught.training["teacher"] == "teacher.safetensors"
    assert (taught.training["recipe"], taught.training["learning_rate"]) == ("sre2l", 0.001)
    options: dict[str, Any] = {"network": "convnet1-w8", "recipe": "sre2l", "epochs": 2, "device": "cpu"}
    expected = train(easy_set(DATA), teacher=load_teacher(model), **options)
    assert torch.equal(taught.network.classifier.weight, expected.classifier.weight)


@pytest.mark.parametrize("zca", [None, some_zca(1, 8, 8)], ids=["mean and std", "whitening"])
def test_in_training_a_teacher_sees_the_images_that_the_network_sees(model: Path, zca: torch.Tensor | None) -> None:
    """They come prepared for the network, and go to the teacher prepared for it."""
    teacher = load_teacher(model)
    other = easy_set(DATA, mean=[0.9], std=[3.0], zca=zca)
    seen = teacher.for_training(other.preparation, (8, 8)).labels(other.decode(normalize=True), 2.0)
    torch.testing.assert_close(seen, teacher.labels(other.decode(), 2.0), rtol=0, atol=1e-3)
    alike = teacher.for_training(easy_set(DATA).preparation, (8, 8)).labels(easy_set(DATA).decode(normalize=True), 2.0)
    torch.testing.assert_close(alike, teacher.labels(easy_set(DATA).decode(), 2.0), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="takes images of 1x8x8, not of 1x16x16"):
        teacher.for_training(other.preparation, (16, 16))
