"""Networks from outside: those of the library timm, and a class of the user's own.

``timm:NAME`` is one of ``timm.list_models()``, with fresh weights: nothing is downloaded. ``timm:NAME@FILE`` starts
from the weights of a local ``.safetensors``. ``module:Class`` is the user's own code: making one runs it. So it is made
only where the user said its name, on the command line or to a function: :func:`permit` is how such a name is known.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.networks.network import Network, Size

TIMM = "timm:"
_TIMM = re.compile(r"timm:([a-z0-9_]+(?:\.[a-z0-9_]+)?)(?:@(.+))?")
_OWN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")

_permitted: set[str] = set()


class _Body(nn.Module):
    """A network that others wrote; called, it gives its features before the classifier, ``[batch, ...]``."""

    def __init__(self, name: str, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        if self.name.startswith(TIMM):
            features: Tensor = self.body.forward_head(self.body.forward_features(x), pre_logits=True)  # type: ignore[operator]
            return features
        embed = getattr(self.body, "embed", None)
        if embed is None:
            raise InputError(
                f"network {self.name} has no method embed(images), which distilling by features asks for: "
                "let it return what the last layer takes, [batch, features]"
            )
        embedded: Tensor = embed(x)
        return embedded


class OutsideNetwork(Network):
    """A network that others wrote, with the face of ours; its ``embed`` raises InputError where the class has none."""

    features: _Body

    def __init__(self, name: str, body: nn.Module) -> None:
        nn.Module.__init__(self)
        self.features = _Body(name, body)

    @property
    def body(self) -> nn.Module:
        """As its author made it."""
        return self.features.body

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, classes]`` of normalised images ``[batch, C, H, W]``.

        Raises:
            InputError: one image alone to train on, where batch norm has a single pixel of it left.
        """
        try:
            logits: Tensor = self.body(x)
        except ValueError as error:
            if "Expected more than 1 value per channel" in str(error):
                height, width = x.shape[2:]
                raise InputError(
                    f"network {self.features.name} cannot be trained on one image of {height}x{width} alone, which a "
                    "batch here is: choose another batch size, larger images, or another network"
                ) from error
            raise
        return logits


def is_outside(name: str) -> bool:
    """Whether the name is of this file: of timm, or of a class."""
    return ":" in name


def own_code(text: str) -> tuple[str, str | None]:
    """The file in ``module:Class@FILE``, and the class; of any other text itself, and None."""
    name, _, file = text.partition("@")
    return (file, name) if file and _OWN.fullmatch(name) and not Path(text).exists() else (text, None)


def is_bound(name: str) -> bool:
    """Whether making the network runs the user's own code or reads a file of theirs: only they may say so."""
    return is_outside(name) and not (name.startswith(TIMM) and "@" not in name)


def permit(name: object) -> None:
    """Notes that the user gave this name, on the command line or to a function."""
    if isinstance(name, str) and is_bound(name):
        _permitted.add(name)


def without_file(name: str) -> str:
    """The name as a file of ours keeps it: without the file that the first weights came from."""
    return name.partition("@")[0] if name.startswith(TIMM) else name


def check_named_by_file(path: object, name: str, given: str | None, naming: str = "--network {}") -> None:
    """Raises InputError where a file names the user's own code and the user does not; ``naming`` is how they would."""
    if is_bound(name) and name != given:
        raise InputError(
            f"{path} was made with the network {name}, code of your own that is not run because a file names it: "
            f"give that name too, if you trust it ({naming.format(name)})"
        )


def outside(name: str, channels: int, classes: int, size: Size) -> Network:
    """Raises InputError for a name that is not known or not permitted, or a network that cannot take the images."""
    if is_bound(name) and name not in _permitted:
        raise InputError(
            f"network {name} is code or a file of your own, used only where you name it yourself: "
            f"--network {name}, or networks.chosen({name!r}, size) from Python"
        )
    # Others' classes may compute while they are made, which without memory they could not.
    with torch.device("cpu"):
        body = _timm(name, channels, classes, size) if name.startswith(TIMM) else _own(name, channels, classes, size)
        network = OutsideNetwork(name, body)
        _try(network, name, (channels, *size), classes)
    return network


def _timm(name: str, channels: int, classes: int, size: Size) -> nn.Module:
    match = _TIMM.fullmatch(name)
    if match is None:
        raise InputError(f"network {name}: give timm:NAME, such as timm:resnet18, or timm:NAME@FILE.safetensors")
    timm = _require_timm()
    if not timm.is_model(match[1]):
        like = ", ".join(timm.list_models(f"*{match[1][:5]}*")[:5])
        raise InputError(f"timm has no model {match[1]!r}{': it has ' + like if like else ''}")
    options: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": channels}
    try:
        try:
            model = timm.create_model(match[1], img_size=size, **options)
        except TypeError:
            # Convolutional networks take any size, and no such argument.
            model = timm.create_model(match[1], **options)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"network {name} cannot be made for images of {size[0]}x{size[1]}: {error}") from error
    if match[2] is not None:
        _start_from(model, name, Path(match[2]))
    return model


def _require_timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise GsddError(f"networks of timm need it: pip install 'gsdd-rt[timm]' ({error})") from error
    except RuntimeError as error:
        # torchvision, which timm imports, made for another torch.
        raise GsddError(f"timm cannot be imported: install a torchvision made for this torch ({error})") from error


def _start_from(model: nn.Module, name: str, path: Path) -> None:
    """Takes the weights of a file; a classifier of other classes stays fresh."""
    try:
        weights = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"network {name}: cannot read weights from {path}, give a .safetensors ({error})") from error
    expected = model.state_dict()
    heads = model.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr, operator]
    prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    fresh = {key for key in expected if key.startswith(prefixes) and _shape(weights, key) != expected[key].shape}
    for key in sorted(set(expected) - fresh):
        if _shape(weights, key) != expected[key].shape:
            raise InputError(
                f"network {name}: {path} has {key} as {_shape(weights, key) and list(weights[key].shape)}, "
                f"needs {list(expected[key].shape)}: take weights made for these images"
            )
    model.load_state_dict({key: expected[key] if key in fresh else weights[key] for key in expected})


def _shape(weights: dict[str, Tensor], key: str) -> torch.Size | None:
    return weights[key].shape if key in weights else None


def _own(name: str, channels: int, classes: int, size: Size) -> nn.Module:
    match = _OWN.fullmatch(name)
    if match is None:
        raise InputError(f"network {name!r}: give module:Class, or timm:NAME")
    with _working_folder():
        try:
            make = getattr(importlib.import_module(match[1]), match[2], None)
        except Exception as error:
            raise InputError(f"network {name}: importing {match[1]} failed: {_said(error)}") from error
    if not callable(make):
        raise InputError(f"network {name}: the module {match[1]} has no class {match[2]}")
    try:
        body = make(channels=channels, classes=classes, size=size)
    except Exception as error:
        call = f"{match[2]}(channels={channels}, classes={classes}, size={size})"
        raise InputError(f"network {name}: {call} failed: {_said(error)}") from error
    if not isinstance(body, nn.Module):
        raise InputError(f"network {name}: {match[2]} gave {type(body).__name__}, not a torch.nn.Module")
    return body


def _try(network: Network, name: str, image: tuple[int, int, int], classes: int) -> None:
    """Two black images, to say what is wrong before anything is trained."""
    network.eval()
    try:
        with torch.no_grad():
            logits = network(torch.zeros(2, *image))
    except Exception as error:
        where = f"images of {image[0]}x{image[1]}x{image[2]}"
        raise InputError(f"network {name} cannot take {where}: {_said(error)}") from error
    network.train()
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"network {name} must give logits [batch, {classes}], got {got} for 2 images")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def _working_folder() -> Iterator[None]:
    """Modules of the folder that one works in are found, as Python finds them beside a script."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
