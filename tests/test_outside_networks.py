"""Networks from outside: timm's, and a class of the user's own, which runs only where the user names it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from distill_data import SMALL, blobs
from easy_data import easy_data, easy_set, folder_of
from set_files import join_file, split_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.distillation import distill
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.experts.subject import Subject
from gsdd_runtime.networks import build, chosen, outside
from gsdd_runtime.networks.model_file import load_model, save_model
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.trainer import train

DATA = easy_data()
NAME = "own_network:Small"
OWN = """
import torch
from pathlib import Path

Path("imported").touch()


class Small(torch.nn.Module):
    def __init__(self, channels, classes, size):
        super().__init__()
        self.flat = torch.nn.Flatten()
        self.last = torch.nn.Linear(channels * size[0] * size[1], classes)

    def embed(self, images):
        return self.flat(images)

    def forward(self, images):
        return self.last(self.embed(images))


class Blind(Small):
    embed = None

    def forward(self, images):
        return self.last(self.flat(images))


class Wide(Small):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes + 1, size)


class Normed(Small):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.norm = torch.nn.BatchNorm1d(classes)

    def forward(self, images):
        return self.norm(super().forward(images))


class Broken(Small):
    def __init__(self, channels, classes, size):
        raise KeyError("no such thing")


class Strict(Small):
    def forward(self, images):
        raise ValueError("too blurred")


def nothing(channels, classes, size):
    return None
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder with the user's module, unknown before and after."""
    (tmp_path / "own_network.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outside, "_permitted", set())
    yield
    sys.modules.pop("own_network", None)


def own(name: str = NAME, channels: int = 1, size: tuple[int, int] = (8, 8)) -> Any:
    return build(chosen(name, size), channels, 3, size, seed=1)


def test_a_class_of_one_s_own_is_a_network_as_any_other() -> None:
    network = own()
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(network(images), network.body.last(network.embed(images)))
    assert network.training
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), own().parameters(), strict=True))
    weights = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    assert not bool(torch.func.functional_call(network, weights, (images,)).any())
    assert str(Path.cwd()) not in sys.path


def test_distilling_training_and_evaluating_run_the_class_that_they_are_given() -> None:
    assert distill(blobs(height=8, width=8), **{**SMALL, "network": NAME, "iterations": 2, "device": "cpu"}).options
    assert evaluate(easy_set(DATA), DATA, network=NAME, epochs=2, repeats=1, device="cpu").network == NAME
    assert type(train(easy_set(DATA), network=NAME, epochs=1, device="cpu").body).__name__ == "Small"


def test_a_name_that_no_one_gave_is_not_run() -> None:
    with pytest.raises(InputError, match=r"own_network:Small is code or a file of your own, .*--network own_network"):
        build(NAME, 1, 3, (8, 8), seed=0)
    assert not Path("imported").exists()


def test_no_file_makes_it_run() -> None:
    own()
    save_model(own(), "model.safetensors", network=NAME, distilled_set=easy_set(DATA))
    sys.modules.pop("own_network")
    Path("imported").unlink()
    for given in (None, "own_network:Other"):
        with pytest.raises(InputError, match="own_network:Small, code of your own that is not run because a file"):
            load_model("model.safetensors", network=given)
    easy_set(DATA, options={"network": NAME}).save("set.safetensors")
    assert DistilledSet.load("set.safetensors").options == {"network": NAME}
    assert not Path("imported").exists()
    assert load_model("model.safetensors", network=NAME).name == NAME
    assert Path("imported").exists()


def test_the_commands_run_it_where_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    easy_set(DATA).save("set.safetensors")
    arguments = ["train", "set.safetensors", "--network", NAME, "--epochs", "1", "--out", "model.safetensors"]
    assert run([*arguments, "--device", "cpu"]) == 0
    capsys.readouterr()
    outside._permitted.clear()
    for command in (["info", "model.safetensors"], ["eval", "model.safetensors", "--dataset", "fashion-mnist-sample"]):
        assert run(command) == 2
        assert "not run because a file names it" in capsys.readouterr().err
    assert run(["info", "model.safetensors", "--network", NAME]) == 0
    assert NAME in capsys.readouterr().out


def test_a_teacher_of_one_s_own_class_is_run_where_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(DATA, Path("photos"))
    original = easy_set(load_dataset(folder))
    original.save("set.safetensors")
    save_model(own(), "model.safetensors", network=NAME, distilled_set=original)
    expected = load_model("model.safetensors", network=NAME).logits(original.decode()).softmax(dim=1).half()
    teacher = f"{NAME}@model.safetensors"
    measure = ["eval", "set.safetensors", "--dataset", folder, "--networks", "convnet1-w4", "--epochs", "1", "--json"]
    measure += ["--repeats", "1", "--device", "cpu"]
    relabel = ["relabel", "set.safetensors", "--device", "cpu", "--out", "soft.safetensors"]
    sys.modules.pop("own_network")
    Path("imported").unlink()
    outside._permitted.clear()
    for command in (relabel, measure, ["train", "set.safetensors", "--out", "new.safetensors"]):
        assert run([*command, "--teacher", "model.safetensors"]) == 2
        assert f"(--teacher {NAME}@model.safetensors)" in capsys.readouterr().err
    assert run([*relabel, "--teacher", "own_network:Wide@model.safetensors"]) == 2
    assert not Path("imported").exists()
    assert run([*relabel, "--teacher", teacher]) == 0
    made = DistilledSet.load("soft.safetensors")
    assert torch.equal(made.labels, expected)
    assert made.options["relabeled"]["teacher"] == "model.safetensors"
    assert run([*relabel[:-1], "model.safetensors", "--teacher", teacher, "--overwrite"]) == 2
    capsys.readouterr()
    assert run([*measure, "--teacher", teacher]) == 0
    Path("before.json").write_text(capsys.readouterr().out)
    outside._permitted.clear()
    again = ["eval", "--again", "before.json"]
    assert run(again) == 2
    assert f"give --teacher {teacher} too, if you trust it" in capsys.readouterr().err
    assert run([*again, "--teacher", "model.safetensors"]) == 2
    assert "leave --teacher out" in capsys.readouterr().err
    assert run([*again, "--teacher", teacher]) == 0
    assert "the same to the last digit" in capsys.readouterr().out


def test_measuring_again_runs_it_where_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(DATA, Path("photos"))
    easy_set(load_dataset(folder)).save("set.safetensors")
    data = ["--dataset", folder]
    measure = ["--epochs", "1", "--repeats", "1", "--device", "cpu"]
    assert run(["eval", "set.safetensors", *data, *measure, "--networks", NAME, "--store", "--json"]) == 0
    Path("before.json").write_text(capsys.readouterr().out)
    sys.modules.pop("own_network")
    Path("imported").unlink()
    outside._permitted.clear()
    commands = {"--networks": ["eval", "--again", "before.json"], "--network": ["verify", "set.safetensors", *data]}
    for command in commands.values():
        assert run(command) == 2
        assert "not run because a file names it" in capsys.readouterr().err
    assert not Path("imported").exists()
    for option, command in commands.items():
        assert run([*command, option, NAME]) == 0
        outside._permitted.clear()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_network:Missing", "module own_network has no class Missing"),
        ("no_such_module:Net", "importing no_such_module failed: ModuleNotFoundError"),
        ("own_network:Broken", r"Broken\(channels=1, classes=3, size=\(8, 8\)\) failed: KeyError"),
        ("own_network:nothing", r"gave NoneType, not a torch\.nn\.Module"),
        ("own_network:Wide", r"must give logits \[batch, 3\], got \[2, 4\] for 2 images"),
        ("own_network:Strict", "cannot take images of 1x8x8: ValueError: too blurred"),
        ("../own_network:Small", "give module:Class"),
        ("own_network:Small:x", "give module:Class"),
    ],
)
def test_what_is_no_network_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        own(name)
    assert "\n" not in str(caught.value)


def test_one_image_alone_is_too_few_for_batch_norm() -> None:
    network = own("own_network:Normed")
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 3)
    with pytest.raises(InputError, match=r"own_network:Normed cannot be trained on one image of 8x8 alone"):
        network(torch.rand(1, 1, 8, 8))
    assert network.eval()(torch.rand(1, 1, 8, 8)).shape == (1, 3)


def test_distilling_by_features_needs_them() -> None:
    with pytest.raises(InputError, match=r"own_network:Blind has no method embed\(images\)"):
        own("own_network:Blind").embed(torch.zeros(1, 1, 8, 8))


class Body(nn.Module):
    """As much of a model of timm as is used."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(4, classes)
        self.pretrained_cfg = {"classifier": "head"}

    def forward_features(self, images: Tensor) -> Tensor:
        return self.stem(images)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = features.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a stand-in for timm was asked to create."""
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **options: Any) -> nn.Module:
        if "img_size" in options and not name.startswith("vit"):
            raise TypeError("unexpected keyword argument 'img_size'")
        asked.append({"name": name, **options})
        return Body(options["in_chans"], options["num_classes"])

    def known(name: str) -> bool:
        return name in ("resnet18", "resnet18.a1_in1k", "vit_tiny")

    timm = SimpleNamespace(create_model=create_model, is_model=known, list_models=lambda _: ["resnet18", "resnet26"])
    monkeypatch.setitem(sys.modules, "timm", timm)
    return asked


def test_timm_is_never_asked_for_weights(created: list[dict[str, Any]]) -> None:
    network = build("timm:resnet18", 3, 5, (16, 12), seed=0)
    build("timm:vit_tiny", 1, 5, (16, 12), seed=0)
    build("timm:resnet18.a1_in1k", 1, 5, (16, 12), seed=0)
    assert all(options["pretrained"] is False for options in created)
    assert [options.get("img_size") for options in created] == [None, (16, 12), None]
    assert created[0] == {"name": "resnet18", "pretrained": False, "num_classes": 5, "in_chans": 3}
    images = torch.rand(2, 3, 16, 12)
    assert torch.equal(network(images), network.body.head(network.embed(images)))
    again = build("timm:resnet18", 3, 5, (16, 12), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.usefixtures("created")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet81", "timm has no model 'resnet81': it has resnet18"),
        ("timm:hf-hub:timm/resnet18", "give timm:NAME"),
        ("timm:local-dir:/tmp", "give timm:NAME"),
        ("timm:", "give timm:NAME"),
        ("timm:resnet18@missing.safetensors", "cannot read weights from missing.safetensors"),
        ("timm:resnet18@own_network.py", r"give a \.safetensors"),
    ],
)
def test_what_timm_does_not_have_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(chosen(name, (8, 8)), 1, 3, (8, 8), seed=0)


@pytest.mark.usefixtures("created")
def test_timm_starts_from_the_weights_of_a_file_but_for_the_classifier() -> None:
    theirs = Body(1, 1000)
    safetensors.torch.save_file(theirs.state_dict(), "weights.safetensors")
    name = "timm:resnet18@weights.safetensors"
    with pytest.raises(InputError, match="a file of your own"):
        build(name, 1, 3, (8, 8), seed=0)
    network = build(chosen(name, (8, 8)), 1, 3, (8, 8), seed=0)
    assert torch.equal(network.body.stem.weight, theirs.stem.weight)
    assert torch.equal(network.body.head.weight, build("timm:resnet18", 1, 3, (8, 8), seed=0).body.head.weight)
    with pytest.raises(InputError, match=r"stem\.weight as \[4, 1, 3, 3\], needs \[4, 3, 3, 3\]"):
        build(name, 3, 3, (8, 8), seed=0)
    save_model(network, "model.safetensors", network=name, distilled_set=easy_set(DATA))
    model = load_model("model.safetensors")
    assert model.name == "timm:resnet18"
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(model.network(images), network.eval()(images))


@pytest.mark.usefixtures("created")
def test_a_file_that_names_a_network_far_larger_than_itself_is_refused_while_that_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_model(build("timm:resnet18", 1, 3, (8, 8), seed=0), "model.safetensors", network="timm:resnet18",
               distilled_set=easy_set(DATA))  # fmt: skip
    made: list[nn.Module] = []

    def create_model(*_: Any, **__: Any) -> nn.Module:
        return nn.Sequential(*(made.append(nn.Linear(1000, 1000)) or made[-1] for _ in range(60)))

    timm = SimpleNamespace(create_model=create_model, is_model=lambda _: True, list_models=lambda _: [])
    monkeypatch.setitem(sys.modules, "timm", timm)
    with pytest.raises(InputError, match=r"model.safetensors holds .* timm:resnet18, which it names, t"):
        load_model("model.safetensors")
    # 64 MB and the file's own few bytes, of 240 MB.
    assert len(made) < 20


def allocated(action: Callable[[], Any]) -> int:
    """Bytes of the largest tensor that is made while ``action`` is refused."""
    largest = 0

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            if isinstance(found, Tensor) and found.device.type != "meta":
                largest = max(largest, found.untyped_storage().nbytes())
            return found

    # Beneath what looks before: only what is really asked of the allocator comes here.
    with Watching(), pytest.raises(InputError, match="takes a tensor of"):
        action()
    return largest


@pytest.mark.usefixtures("created")
@pytest.mark.parametrize(("field", "value"), [("classes", 1_000_000), ("height", 16384)])
def test_a_single_tensor_larger_than_a_file_allows_is_refused_before_it_is_allocated(field: str, value: int) -> None:
    """A classifier of a million classes, and an image to try the network with."""
    save_model(build("timm:resnet18", 1, 3, (8, 8), seed=0), "model.safetensors", network="timm:resnet18",
               distilled_set=easy_set(DATA))  # fmt: skip
    header, payload = split_file(Path("model.safetensors"))
    facts = json.loads(header["__metadata__"]["gsdd_model"])
    larger = {**facts, "class_names": None, "width": 16384, field: value}
    header["__metadata__"]["gsdd_model"] = json.dumps({**larger, **({} if field == "height" else {"width": 8})})
    join_file(Path("model.safetensors"), header, payload)

    class Wide(Body):
        def __init__(self, channels: int, classes: int) -> None:
            super().__init__(channels, 3)
            self.head = nn.Linear(100, classes)

    sys.modules["timm"].create_model = lambda _, **options: Wide(options["in_chans"], options["num_classes"])
    assert allocated(lambda: load_model("model.safetensors")) < 1 << 26


@pytest.mark.usefixtures("created")
def test_a_file_of_experts_is_bounded_as_a_network_s_file_is() -> None:
    subject = Subject.of("timm:resnet18", DATA)
    fields = {**subject.to_fields(), "network": "timm:resnet18", "class_names": [str(i) for i in range(1000)]}
    Path("expert.safetensors").write_bytes(b"a few bytes")
    sys.modules["timm"].create_model = lambda _, **__: nn.Linear(100_000, 10_000)
    action = partial(Subject.from_fields, Path("expert.safetensors"), {**fields, "classes": 1000})
    assert allocated(action) < 1 << 26


def test_without_timm_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(GsddError, match=r"pip install 'gsdd-rt\[timm\]'"):
        build("timm:resnet18", 1, 3, (8, 8), seed=0)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_100"])
def test_timm_itself(name: str) -> None:
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported: {error}")
    assert timm.is_model(name)
    network = build(f"timm:{name}", 1, 3, (64, 64), seed=0).eval()
    images = torch.rand(2, 1, 64, 64)
    classifier = network.body.get_classifier()
    torch.testing.assert_close(network(images), classifier(network.embed(images)))
    again = build(f"timm:{name}", 1, 3, (64, 64), seed=0).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())
