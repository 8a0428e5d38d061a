"""The option of every method that needs experts, and the folder that it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.problem import Setting
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts import ExpertFolder
from gsdd_runtime.experts.folder import experts_command


@dataclass(frozen=True)
class ExpertsOption:
    """For a method's options to inherit from.

    Attributes:
        experts: the folder. It is not recorded: what it holds decides.
        experts_fingerprint: of what it holds; filled in by :func:`with_fingerprint`.
    """

    experts: str | None = option(
        None, "The folder of experts that gsdd-rt experts made.", shown="none", place=True
    )  # fmt: skip
    experts_fingerprint: str | None = None


def opened_experts(options: Any, setting: Setting, method: str) -> ExpertFolder:
    """The experts of a run, known to be of its network, its data and its preparation of images.

    Raises:
        InputError: none are named or there; they are of another network or other data. It names the command that makes
            them.
    """
    if options.experts is None:
        command = experts_command(Path("DIR"), setting.data.name, setting.network)
        raise InputError(f"method {method} needs experts: make them with {command}, then give --experts DIR")
    experts = ExpertFolder(options.experts)
    experts.check_fits(setting.network, setting.data)
    return experts


def with_fingerprint(options: Any, experts: ExpertFolder) -> Any:
    """``options`` with the fingerprint of the experts: a run goes on with the same ones alone."""
    return replace(options, experts_fingerprint=experts.fingerprint)
