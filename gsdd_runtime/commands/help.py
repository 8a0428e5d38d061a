"""What ``--help`` shows: commands and options by what they decide, abbreviations with what they stand for."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from typer.core import TyperCommand, TyperGroup

from gsdd_runtime.commands.protocol import TrainingOptions
from gsdd_runtime.commands.shared import DataOptions

# Every command, by what a person is about.
COMMANDS = {
    "Make a set": ("distill", "experts", "fit", "import", "recipes"),
    "Look at it": ("info", "report", "watch", "decode"),
    "Judge it": ("eval", "baseline", "verify", "rank", "bench"),
    "Use it": ("train", "export"),
    "Change it": ("compress", "select", "merge", "relabel", "whiten"),
    "What there is": ("datasets", "networks", "doctor", "completion"),
}
NEXT = """\
gsdd-rt distills an image dataset into 2D Gaussians, in one small file.

  Try it on images that are part of it (a minute or two):
    gsdd-rt distill --recipe sample-dm --out set.safetensors
    gsdd-rt report set.safetensors --out report.html

  You were given a set:
    gsdd-rt info set.safetensors
    gsdd-rt export set.safetensors --onnx decoder.onnx

  gsdd-rt --help lists the commands, gsdd-rt doctor says what works here."""

_DATA = {field.name for field in fields(DataOptions)}
_TRAINING = {field.name for field in fields(TrainingOptions)} | {"network", "temperature"}
_WRITTEN = {"out", "overwrite", "csv", "chart", "as_json", "store"}

ABBREVIATIONS = {
    "IPC": "images per class: storage, counted in 32-bit pixel images of each class",
    "GPC": "Gaussian images per class that share it",
    "dm": "distribution matching: means of features agree",
    "dc": "gradient matching, of dataset condensation",
    "tm": "trajectory matching: training on the set goes where training on real images went",
    "ncfm": "matching of characteristic functions of features, at learned frequencies",
    "dance": "matching in networks between random and trained ones",
    "squeeze": "recovery of images from a trained network's batch norms and classes",
    "DATM": "difficulty-aligned trajectory matching",
    "MTT": "matching training trajectories, the code of trajectory matching",
    "DSA": "differentiable Siamese augmentation: real and distilled images are changed alike",
    "ZCA": "whitening: pixels are made uncorrelated, of deviation one",
    "PSNR": "peak signal-to-noise ratio, in dB: how near images are to others",
    "SRe2L": "squeeze, recover, relabel: sets with a teacher's labels",
    "RDED": "realistic, diverse and efficient distillation: patches of real images",
    "SGD": "stochastic gradient descent",
}


class Command(TyperCommand):
    """A command whose help tells options apart by what they decide."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(section_of(parameter), []).append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        said = " ".join([self.help or "", *(f"{left} {right}" for rows in sections.values() for left, right in rows)])
        meant = [row for row in ABBREVIATIONS.items() if re.search(rf"(?i)(?<!\w){row[0]}(?![\w-])", said)]
        if meant:
            with formatter.section("Abbreviations"):
                formatter.write_dl(meant)


def section_of(parameter: Any) -> str:
    """The title under which an argument or option stands."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    own: str | None = parameter.rich_help_panel
    if own is not None:
        return own
    if parameter.name in _DATA:
        return "Real data"
    if parameter.name in _TRAINING:
        return "Networks and their training"
    return "What is written" if parameter.name in _WRITTEN else "Options"


class Group(TyperGroup):
    """The commands, by what a person is about; alone, it says what to do next."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            print(NEXT)
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, names in COMMANDS.items():
            rows = [(name, self.commands[name].get_short_help_str(limit)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows, col_max=20)
