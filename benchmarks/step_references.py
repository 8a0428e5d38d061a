"""The published loops for ``distill_step.py``: run as they stand in a checkout, with what they read given to them.

Packages that a loop imports and a step does not need (pictures, logs, other networks) have stand-ins, and so has
``cuda`` where it is written out: everything runs on the CPU.
"""

from __future__ import annotations

import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import torch
from step_ours import EPOCHS
from step_pace import CLASSES, IMAGES, SIDE, Pace, drawn_weights, images, labels, normalised

NAMES = [str(index) for index in range(CLASSES)]
MEAN, STD = [0.5] * 3, [0.25] * 3


@dataclass(frozen=True)
class Reference:
    """A published loop.

    Attributes:
        run: given a pipe, the checkout, a folder to write to, width, threads, and options of the step.
        repository: on GitHub.
        file: that tells a checkout of it.
        options: of a step, by our names; both sides take them.
    """

    run: Callable[..., NoReturn]
    repository: str
    file: str
    options: dict[str, Any]


class _Anything(type):
    """Of classes that take anything, do nothing, and have classes of that kind in them."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {"__init__": lambda *_, **__: None, "__call__": lambda *_, **__: None})


class _StandIn(types.ModuleType):
    """A package whose every name is a class that takes anything and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(_Anything("", (), {}), name)


class _Compose:
    """torchvision's, for what is done in a step."""

    def __init__(self, parts: list[Callable[[Any], Any]]) -> None:
        self._parts = parts

    def __call__(self, value: Any) -> Any:
        for part in self._parts:
            value = part(value)
        return value


def _nothing(*_: Any, **__: Any) -> None:
    """Stands for reading files, drawing pictures and writing logs."""


def _stand_in(*names: str) -> None:
    for name in names:
        for end in range(name.count(".") + 1):
            part = name.rsplit(".", end)[0]
            sys.modules.setdefault(part, _StandIn(part))
    for name in names:
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, sys.modules[name])


@contextmanager
def _prepared(pipe: Connection, checkout: str, folder: str, threads: int) -> Iterator[Pace]:
    """A process in which a checkout can be imported, and runs without a word, its files in ``folder``."""
    torch.set_num_threads(threads)
    _stand_in(
        "torchvision.datasets", "torchvision.transforms", "torchvision.utils", "torchvision.models",
        "scipy.ndimage.interpolation", "kornia", "wandb", "efficientnet_pytorch", "matplotlib.pyplot", "tqdm",
    )  # fmt: skip
    sys.modules["torchvision.utils"].__dict__.update(save_image=_nothing, make_grid=lambda images, **_: images)
    sys.modules["torchvision.transforms"].__dict__.update(Compose=_Compose)
    sys.modules["tqdm"].__dict__.update(tqdm=lambda items, *_, **__: _Bar(items))
    sys.modules["matplotlib"].__dict__.update(use=_nothing)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # type: ignore[assignment, method-assign]
    make = torch.tensor
    torch.tensor = lambda *values, device=None, **named: make(*values, device=_cpu(device), **named)
    sys.path.insert(0, checkout)
    # They make their folders, and tell of steps, where they stand.
    os.chdir(folder)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Pace(pipe)
    raise SystemExit("the reference ended before the rounds did")


class _Bar:
    """A progress bar that shows nothing."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def update(self, *_: Any) -> None: ...

    def set_description(self, *_: Any) -> None: ...


def _cpu(device: Any) -> Any:
    return "cpu" if device == "cuda" else device


def _on_cpu(*functions: Any) -> None:
    """Takes ``cuda`` out of the defaults of functions."""
    for function in functions:
        function.__defaults__ = tuple(map(_cpu, function.__defaults__))


def _model(width: int) -> str:
    return "ConvNet" if width == 128 else f"ConvNetW{width}"


def run_dm(pipe: Connection, checkout: str, folder: str, width: int, threads: int, options: dict[str, Any]) -> NoReturn:
    """``main_DM.main``; the step begins where it asks for a fresh network."""
    with _prepared(pipe, checkout, folder, threads) as pace:
        import main_DM

        _condense(main_DM, pace, width, options)
    raise AssertionError


def run_dc(pipe: Connection, checkout: str, folder: str, width: int, threads: int, options: dict[str, Any]) -> NoReturn:
    """``main.main`` with DSA, one outer loop a network; the step begins where it asks for a fresh network."""
    with _prepared(pipe, checkout, folder, threads) as pace:
        import main

        main.get_loops = lambda _: (options["outer_loops"], options["inner_loops"])
        _condense(
            main, pace, width, options, "--method", "DSA", "--dsa_strategy", "color_crop_cutout_flip_scale_rotate"
        )
    raise AssertionError


def _condense(loop: Any, pace: Pace, width: int, options: dict[str, Any], *more: str) -> None:
    make = loop.get_network

    def get_network(*arguments: Any) -> Any:
        pace.step()
        return make(*arguments)

    loop.get_network = get_network
    loop.get_dataset = lambda *_: (3, (SIDE, SIDE), CLASSES, NAMES, MEAN, STD, normalised(), None, None)
    sys.argv = [
        "", "--model", _model(width), "--ipc", str(IMAGES), "--num_eval", "0", "--batch_real",
        str(options["batch_real"]), *more,
    ]  # fmt: skip
    loop.main()


def run_tm(pipe: Connection, checkout: str, folder: str, width: int, threads: int, options: dict[str, Any]) -> NoReturn:
    """``distill.main``; the step begins where it asks for a fresh student."""
    with _prepared(pipe, checkout, folder, threads) as pace:
        import distill

        place = Path("buffers", "CIFAR10_NO_ZCA", _model(width))
        place.mkdir(parents=True, exist_ok=True)
        torch.save([drawn_weights(width, EPOCHS)], place / "replay_buffer_0.pt")
        make = distill.get_network

        def get_network(*arguments: Any, **named: Any) -> Any:
            pace.step()
            return make(*arguments, **named)

        distill.get_network = get_network
        classes = {index: index for index in range(CLASSES)}
        data = (3, (SIDE, SIDE), CLASSES, NAMES, MEAN, STD, normalised(), None, None, None, classes, classes)
        distill.get_dataset = lambda *_, **__: data
        log = types.SimpleNamespace(config=types.SimpleNamespace(), run=types.SimpleNamespace(name="step"))
        log.init = lambda config, **_: setattr(log.config, "_items", vars(config))
        log.log = log.Histogram = log.Image = _nothing
        distill.wandb = log
        distill.main(types.SimpleNamespace(
            dataset="CIFAR10", subset="", model=_model(width), ipc=IMAGES, eval_mode="S", num_eval=0, eval_it=10**6,
            epoch_eval_train=1, Iteration=5000, lr_img=1000.0, lr_lr=1e-5, lr_teacher=0.01, lr_init=0.01,
            batch_real=256, batch_syn=options["batch_syn"], batch_train=256, pix_init="noise", dsa="True",
            dsa_strategy="color_crop_cutout_flip_scale_rotate", data_path="data", buffer_path="buffers",
            expert_epochs=options["expert_epochs"], syn_steps=options["syn_steps"],
            max_start_epoch=options["max_start_epoch"], zca=False, load_all=False, no_aug=False, texture=False,
            canvas_size=1, canvas_samples=1, max_files=None, max_experts=None, force_save=False,
        ))  # fmt: skip
    raise AssertionError


class _Images(list):  # type: ignore[type-arg]
    """Real images in [0, 1] with their labels, as the class loaders of NCFM and DANCE take them."""

    def __init__(self) -> None:
        super().__init__(zip(images().float() / 255, labels().tolist(), strict=True))
        self.targets, self.nclass = labels().tolist(), CLASSES


def _save_expert(network: torch.nn.Module) -> None:
    """First and last weights of an expert, here by chance, under the names that both repositories read."""
    torch.save(network.state_dict(), "premodel0_init.pth.tar")
    with torch.no_grad():
        for part in network.parameters():
            part += 0.01 * torch.randn_like(part)
    torch.save(network.state_dict(), "premodel0_trained.pth.tar")


def run_dance(
    pipe: Connection, checkout: str, folder: str, width: int, threads: int, options: dict[str, Any]
) -> NoReturn:
    """``DANCE.condense``; the step begins where it draws an expert."""
    with _prepared(pipe, checkout, folder, threads) as pace:
        import DANCE

        _on_cpu(DANCE.condense, DANCE.Synthesizer.__init__, DANCE.ClassMemDataLoader.__init__, DANCE.diffaug)
        DANCE.load_resized_data = lambda _: (_Images(), None)
        DANCE.Synthesizer.test = lambda *_, **__: 0.0
        DANCE.save_img = _nothing

        def randint(*_: int) -> int:
            pace.step()
            return 0

        DANCE.random = types.SimpleNamespace(randint=randint)
        arguments = types.SimpleNamespace(
            ipc=IMAGES, factor=1, decode_type="single", dataset="cifar10", net_type="convnet", norm_type="instance",
            depth=3, width=width / 128, nch=3, size=SIDE, load_memory=True, batch_real=options["batch_real"],
            batch_syn_max=IMAGES, aug_type="color_crop_cutout", mixup="cut", init="noise", test=True, lr_img=0.01,
            mom_img=0.5, time=False, niter=5000, num_premodel=1, pretrain_dir=".", iter_calib=1, save_dir=".",
        )  # fmt: skip
        _save_expert(DANCE.define_model(arguments, CLASSES))
        DANCE.condense(arguments, _nothing)
    raise AssertionError


def run_ncfm(
    pipe: Connection, checkout: str, folder: str, width: int, threads: int, options: dict[str, Any]
) -> NoReturn:
    """``Condenser.condense``; the step begins where it asks for the networks of a step."""
    with _prepared(pipe, checkout, folder, threads) as pace:
        import torch.distributed as dist
        from data.dataloader import ClassMemDataLoader
        from utils import utils
        from utils.diffaug import diffaug

        condensing = import_module("condenser.Condenser")
        dist.init_process_group("gloo", init_method=f"file://{Path('group').resolve()}", rank=0, world_size=1)
        _on_cpu(ClassMemDataLoader.__init__, diffaug)
        condensing.gather_save_visualize = _nothing
        fresh = condensing.update_feature_extractor

        def update_feature_extractor(*values: Any, **named: Any) -> Any:
            pace.step()
            return fresh(*values, **named)

        condensing.update_feature_extractor = update_feature_extractor
        arguments = types.SimpleNamespace(
            ipc=IMAGES, factor=1, decode_type="single", dataset="cifar10", net_type="convnet", norm_type="instance",
            depth=3, width=width / 128, nch=3, size=SIDE, nclass=CLASSES, batch_real=options["batch_real"],
            class_list=list(range(CLASSES)), aug_type="color_crop_cutout", mixup="cut", niter=5000, num_premodel=1,
            pretrain_dir=".", iter_calib=1, calib_weight=1, sampling_net=False, num_freqs=options["frequencies"],
            dis_metrics="NCFM", alpha_for_loss=0.5, beta_for_loss=0.5, it_log=10**9, it_save=[], rank=0, local_rank=0,
            device="cpu", logger=_nothing,
        )  # fmt: skip
        models = utils.get_feature_extractor(arguments)
        _save_expert(utils.get_feature_extractor(arguments)[0])
        condenser = condensing.Condenser(arguments, list(range(CLASSES)), 3, SIDE, SIDE, device="cpu")
        optimizer = utils.get_optimizer("adamw", condenser.parameters(), 0.001, 0.5, 5e-4)
        plotter = types.SimpleNamespace(update_match_loss=_nothing, update_calib_loss=_nothing,
                                        plot_and_save_loss_curve=_nothing)  # fmt: skip
        init, interval, final = models
        real = ClassMemDataLoader(_Images(), batch_size=options["batch_real"])
        condenser.condense(arguments, plotter, _Class(real), diffaug(arguments)[0], optimizer, init, interval, final)
    raise AssertionError


class _Class:
    """NCFM's class loader as its ``AsyncLoader`` asks it: for a batch, with a label each."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def class_sample(self, index: int, _: int) -> tuple[torch.Tensor, torch.Tensor]:
        found: tuple[torch.Tensor, torch.Tensor] = self._loader.class_sample(index)
        return found


CONDENSATION = "VICO-UoE/DatasetCondensation"
_EXPERTS = {"expert_epochs": 2, "max_start_epoch": 2}
REFERENCES = {
    "dm": Reference(run_dm, CONDENSATION, "main_DM.py", {"batch_real": 256}),
    "dc": Reference(run_dc, CONDENSATION, "main.py", {"batch_real": 256, "outer_loops": 1, "inner_loops": 0}),
    "tm": Reference(
        run_tm, "GeorgeCazenavette/mtt-distillation", "distill.py", {"batch_syn": 32, "syn_steps": 10, **_EXPERTS}
    ),
    "ncfm": Reference(run_ncfm, "gszfwsb/NCFM", "condenser/Condenser.py", {"batch_real": 256, "frequencies": 4096}),
    "dance": Reference(run_dance, "Hansong-Zhang/DANCE", "DANCE.py", {"batch_real": 128}),
}
