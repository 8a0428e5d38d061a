"""Where every option of every command has to arrive: the table of test_command_options.py.

A new option without a line here fails the test. A line gives the words that set it to something else than its default,
the place or places where it has to be seen, and the value there. A place is ``function.parameter``, with ``.key``
behind it for what is inside a dictionary; the name of a function alone (was it called?); or ``stdout``, or ``json``
(is stdout one JSON document?). ``{set}``, ``{other}``, ``{out}`` and ``{folder}`` stand for paths; ``{other}`` is a
second set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gsdd_runtime.versions import VERSION

# The library's functions that commands call, and where commands import them from.
LIBRARY = {
    "load_dataset": "gsdd_runtime.datasets",
    "distill": "gsdd_runtime.distillation",
    "plan": "gsdd_runtime.distillation",
    "load_recipe": "gsdd_runtime.distillation.recipes",
    "make_experts": "gsdd_runtime.experts",
    "import_experts": "gsdd_runtime.experts",
    "evaluate": "gsdd_runtime.evaluation.accuracy",
    "compare": "gsdd_runtime.evaluation.comparison",
    "comparison_document": "gsdd_runtime.evaluation.comparison",
    "comparison_text": "gsdd_runtime.evaluation.report",
    "comparison_csv": "gsdd_runtime.evaluation.report",
    "per_class_text": "gsdd_runtime.evaluation.report",
    "embedding": "gsdd_runtime.evaluation.baselines",
    "real_set": "gsdd_runtime.evaluation.baselines",
    "load_model": "gsdd_runtime.networks.model_file",
    "fit_set": "gsdd_runtime.distillation.fitted_set",
    "images_and_labels": "gsdd_runtime.sets.foreign",
    "foreign_set": "gsdd_runtime.sets.foreign",
    "select_classes": "gsdd_runtime.sets.selection",
    "merge_sets": "gsdd_runtime.sets.selection",
    "relabel": "gsdd_runtime.training.relabeling",
    "load_teacher": "gsdd_runtime.experts.teaching",
    "earlier": "gsdd_runtime.commands.protocol",
    "claim_csv": "gsdd_runtime.commands.outputs",
    "train": "gsdd_runtime.training.trainer",
    "compress": "gsdd_runtime.sets.compression",
    "save_model": "gsdd_runtime.networks.model_file",
    "write_decoded": "gsdd_runtime.reports.pictures",
    "export_onnx": "gsdd_runtime.export.onnx",
    "export_train_step": "gsdd_runtime.export.train_step",
    "export_torchscript": "gsdd_runtime.export.torchscript",
    "export_program": "gsdd_runtime.export.program",
    "export_aot_inductor": "gsdd_runtime.export.program",
    "export_tensorrt": "gsdd_runtime.export.tensorrt",
    "run_decode_bench": "gsdd_runtime.bench",
    "render_chart": "gsdd_runtime.bench",
    "run_train_bench": "gsdd_runtime.bench.train",
    "run_rate_bench": "gsdd_runtime.bench.rate",
    "render_rate_chart": "gsdd_runtime.bench.rate_chart",
    "examine": "gsdd_runtime.commands.examination",
    "claim": "gsdd_runtime.commands.outputs",
    "load_set_or_model": "gsdd_runtime.commands.info",
    # Of DistilledSet.
    "load": "gsdd_runtime.sets.distilled_set",
    "save": "gsdd_runtime.sets.distilled_set",
}


@dataclass(frozen=True)
class Reaches:
    """One option: the words that set it, where it is to be seen, and as what."""

    words: str
    places: str | tuple[str, ...]
    value: Any
    # The command line that ``words`` are added to, where it is not the command's own.
    base: str | None = None

    @property
    def all_places(self) -> tuple[str, ...]:
        return (self.places,) if isinstance(self.places, str) else self.places


# What each command cannot do without.
BASE = {
    "": "--help",
    "distill": "--dataset fashion-mnist-sample --out {out}.safetensors",
    "experts": "--dataset fashion-mnist-sample --out {out}",
    "eval": "{set} --dataset fashion-mnist-sample",
    "baseline": "random --ipc 1 --dataset fashion-mnist-sample",
    "train": "{set} --out {out}.safetensors",
    "compress": "{set} --out {out}.safetensors",
    "fit": "{set} --out {out}.safetensors",
    "import": "{folder}/images.pt --out {out}.safetensors",
    "whiten": "{left} --out {out}.safetensors --dataset fashion-mnist-sample",
    "select": "{set} --classes 3,1 --out {out}.safetensors",
    "merge": "{set} {other} --out {out}.safetensors",
    "relabel": "{set} --teacher {folder} --out {out}.safetensors",
    "export": "{set} --onnx {out}.onnx --onnx-train-step {out}.step.onnx --torchscript {out}.pt --pt2 {out}.pt2 "
    "--aot-inductor {out}.aot.pt2 --tensorrt {out}.engine",
    "decode": "{set} --out {out}.npy",
    "info": "{set}",
    "datasets": "",
    "networks": "",
    "recipes": "",
    "bench": "",
    "doctor": "",
}

RATE = "rate {set} --dataset fashion-mnist-sample"
TESTED = "{set} --out {out}.safetensors --dataset fashion-mnist-sample"
DECODERS = ("export_onnx", "export_torchscript", "export_program", "export_aot_inductor", "export_tensorrt")


def of_data(base: str | None = None, without: tuple[str, ...] = ()) -> dict[str, Reaches]:
    """The options of real data, which every command hands to ``load_dataset`` in the same way."""
    lines = {
        "data_dir": Reaches("--data-dir {folder}", "load_dataset.data_dir", "{folder}", base),
        "size": Reaches("--size 20x24", "load_dataset.size", (20, 24), base),
        "test_part": Reaches("--test-part 0.3", "load_dataset.test_part", 0.3, base),
        "classes": Reaches("--classes woof", "load_dataset.classes", "woof", base),
        "resize": Reaches("--resize squash", "load_dataset.resize", "squash", base),
        "normalization": Reaches("--normalization published", "load_dataset.normalization", "published", base),
        "zca": Reaches("--zca", "load_dataset.zca", True, base),
        "cache": Reaches("--no-cache", "load_dataset.cache", False, base),
    }
    return {name: line for name, line in lines.items() if name not in without}


OPTIONS: dict[str, dict[str, Reaches]] = {
    "": {"version": Reaches("--version", "stdout", f"gsdd-rt {VERSION}\n", base="")},
    "distill": {
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        "out": Reaches("--out {folder}/another.safetensors", "distill.out", "{folder}/another.safetensors"),
        **of_data(),
        "method": Reaches("--method tm", "distill.method", "tm"),
        "ipc": Reaches("--ipc 3", "distill.ipc", 3),
        "gpc": Reaches("--gpc 17", "distill.gpc", 17),
        "coding": Reaches("--coding entropy", "distill.coding", "entropy"),
        "pixel_bits": Reaches("--pixel-bits 2", "distill.pixel_bits", 2),
        "downscale": Reaches("--downscale 2", "distill.downscale", 2),
        "rate_weight": Reaches("--rate-weight 0.5", "distill.rate_weight", 0.5),
        "iterations": Reaches("--iterations 123", "distill.iterations", 123),
        "representation": Reaches("--representation pixels", "distill.representation", "pixels"),
        "init": Reaches("--init color", "distill.init", "color"),
        "network": Reaches("--network mlp", "distill.network", "mlp"),
        "batch_real": Reaches("--batch-real 31", "distill.batch_real", 31),
        "batch_syn": Reaches("--batch-syn 5", "distill.batch_syn", 5),
        "learning_rate": Reaches("--learning-rate 0.125", "distill.learning_rate", 0.125),
        "schedule": Reaches("--schedule cosine", "distill.schedule", "cosine"),
        "fit_steps": Reaches("--fit-steps 77", "distill.fit_steps", 77),
        "augment": Reaches("--augment none", "distill.augment", "none"),
        "seed": Reaches("--seed 99", "distill.seed", 99),
        "device": Reaches("--device cuda", "distill.device", "cuda"),
        "checkpoint_interval": Reaches("--checkpoint-interval 13", "distill.checkpoint_interval", 13),
        "checkpoint_seconds": Reaches("--checkpoint-seconds 7", "distill.checkpoint_seconds", 7.0),
        "classes_per_pass": Reaches("--classes-per-pass 3", "distill.classes_per_pass", 3),
        "fit_learning_rate": Reaches("--fit-learning-rate 0.5", "distill.fit_learning_rate", 0.5),
        "boundary_weight": Reaches("--boundary-weight 0.5", "distill.boundary_weight", 0.5),
        "recipe": Reaches("--recipe sample-dm", "distill.recipe", "sample-dm"),
        "settings": Reaches("--recipe sample-dm --set ipc=3", "distill.ipc", 3),
        "dry_run": Reaches("--dry-run", "plan", True),
        "update": Reaches("--update class", "distill.update", "class"),
        "outer_loops": Reaches("--outer-loops 7", "distill.outer_loops", 7),
        "inner_loops": Reaches("--inner-loops 9", "distill.inner_loops", 9),
        "network_learning_rate": Reaches("--network-learning-rate 0.5", "distill.network_learning_rate", 0.5),
        "batch_train": Reaches("--batch-train 17", "distill.batch_train", 17),
        "images_per_pass": Reaches("--images-per-pass 19", "distill.images_per_pass", 19),
        "experts": Reaches("--experts {folder}", "distill.experts", "{folder}"),
        "syn_steps": Reaches("--syn-steps 11", "distill.syn_steps", 11),
        "expert_epochs": Reaches("--expert-epochs 3", "distill.expert_epochs", 3),
        "min_start_epoch": Reaches("--min-start-epoch 4", "distill.min_start_epoch", 4),
        "max_start_epoch": Reaches("--max-start-epoch 40", "distill.max_start_epoch", 40),
        "first_max_start_epoch": Reaches("--first-max-start-epoch 5", "distill.first_max_start_epoch", 5),
        "expansion_steps": Reaches("--expansion-steps 500", "distill.expansion_steps", 500),
        "start_rate": Reaches("--start-rate 0.5", "distill.start_rate", 0.5),
        "lr_lr": Reaches("--lr-lr 0.25", "distill.lr_lr", 0.25),
        "learn_labels": Reaches("--learn-labels", "distill.learn_labels", True),
        "label_rate": Reaches("--label-rate 3", "distill.label_rate", 3.0),
        "resume": Reaches("--resume", "distill.resume", True),
        "overwrite": Reaches("--overwrite", "distill.overwrite", True),
    },
    "experts": {
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(),
        "out": Reaches("--out {folder}", "make_experts.out", "{folder}"),
        "network": Reaches("--network mlp", "make_experts.network", "mlp"),
        "count": Reaches("--count 7", "make_experts.count", 7),
        "epochs": Reaches("--epochs 123", "make_experts.epochs", 123),
        "batch_size": Reaches("--batch-size 31", "make_experts.batch_size", 31),
        "learning_rate": Reaches("--learning-rate 0.125", "make_experts.learning_rate", 0.125),
        "momentum": Reaches("--momentum 0.5", "make_experts.momentum", 0.5),
        "weight_decay": Reaches("--weight-decay 0.25", "make_experts.weight_decay", 0.25),
        "augment": Reaches("--augment none", "make_experts.augment", "none"),
        "buffers": Reaches("--import {folder}/b.pt", "import_experts.files.0", "{folder}/b.pt"),
        "seed": Reaches("--seed 99", "make_experts.seed", 99),
        "device": Reaches("--device cuda", "make_experts.device", "cuda"),
        "resume": Reaches("--resume", "make_experts.resume", True),
        "overwrite": Reaches("--overwrite", "make_experts.overwrite", True),
    },
    "baseline": {
        "kind": Reaches("", "real_set.kind", "kcenter", base="kcenter --ipc 1 --dataset fashion-mnist-sample"),
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(),
        "bytes_of": Reaches("--bytes-of {other}", "load.path", "{other}", base="random --dataset fashion-mnist-sample"),
        "ipc": Reaches("--ipc 3", "real_set.per_class", 3),
        "pixel_bytes": Reaches("--pixel-bytes 4", "real_set.pixel_bytes", 4),
        "draws": Reaches("--draws 3", "real_set.seed", 2),
        "features": Reaches(
            "--features {folder}/m",
            "load_model.path",
            "{folder}/m",
            base="herding --ipc 1 --dataset fashion-mnist-sample",
        ),
        "out": Reaches("--out {folder}/another.safetensors", "claim.outputs.0.path", "{folder}/another.safetensors"),
        "networks": Reaches("--networks mlp,lenet", "compare.architectures", ["mlp", "lenet"]),
        "recipe": Reaches("--recipe dc", "compare.training.recipe", "dc"),
        "epochs": Reaches("--epochs 123", "compare.training.epochs", 123),
        "learning_rate": Reaches("--learning-rate 0.125", "compare.training.learning_rate", 0.125),
        "batch_size": Reaches("--batch-size 17", "compare.training.batch_size", 17),
        "augment": Reaches("--augment none", "compare.training.augment", "none"),
        "repeats": Reaches("--repeats 3", "compare.training.repeats", 3),
        "seed": Reaches("--seed 99", ("compare.training.seed", "real_set.seed"), 99),
        "tests": Reaches("--tests 7", "compare.training.tests", 7),
        "accuracy_at": Reaches("--accuracy-at 30,100", "compare.training.accuracy_at", (30, 100)),
        "per_class": Reaches("--per-class", "per_class_text", True),
        "device": Reaches("--device cuda", "compare.training.device", "cuda"),
        "as_json": Reaches("--json", "json", True),
        "csv": Reaches("--csv {folder}/table.csv", "comparison_csv", True),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "eval": {
        "paths": Reaches("{other}", "compare.sets", ["{set}", "{other}"]),
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(without=("size",)),
        "sizes": Reaches("--sizes 20x24,30", "compare.sizes", [(20, 24), (30, 30)]),
        "networks": Reaches("--networks mlp,lenet", "compare.architectures", ["mlp", "lenet"]),
        "recipe": Reaches("--recipe dc", "compare.training.recipe", "dc"),
        "epochs": Reaches("--epochs 123", "compare.training.epochs", 123),
        "learning_rate": Reaches("--learning-rate 0.125", "compare.training.learning_rate", 0.125),
        "batch_size": Reaches("--batch-size 17", "compare.training.batch_size", 17),
        "augment": Reaches("--augment none", "compare.training.augment", "none"),
        "teacher": Reaches("--teacher {folder}/teacher", "load_teacher.path", "{folder}/teacher"),
        "repeats": Reaches("--repeats 3", "compare.training.repeats", 3),
        "seed": Reaches("--seed 99", "compare.training.seed", 99),
        "tests": Reaches("--tests 7", "compare.training.tests", 7),
        "accuracy_at": Reaches("--accuracy-at 30,100", "compare.training.accuracy_at", (30, 100)),
        "per_class": Reaches("--per-class", "per_class_text", True),
        "again": Reaches("--again {folder}/again.json", "earlier.path", "{folder}/again.json", base=""),
        "device": Reaches("--device cuda", "compare.training.device", "cuda"),
        "as_json": Reaches("--json", "json", True),
        "csv": Reaches("--csv {folder}/table.csv", "comparison_csv", True),
        "overwrite": Reaches("--overwrite", "claim_csv.overwrite", True),
    },
    "train": {
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
        "path": Reaches("", "load.path", "{other}", base="{other} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "save_model.path", "{folder}/another.safetensors"),
        "network": Reaches("--network mlp", ("train.network", "save_model.network"), "mlp"),
        "recipe": Reaches("--recipe dc", ("train.recipe", "save_model.training.recipe"), "dc"),
        "epochs": Reaches("--epochs 123", ("train.epochs", "save_model.training.epochs"), 123),
        "learning_rate": Reaches(
            "--learning-rate 0.125", ("train.learning_rate", "save_model.training.learning_rate"), 0.125
        ),
        "teacher": Reaches("--teacher {folder}/teacher", "load_teacher.path", "{folder}/teacher"),
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(TESTED, without=("size",)),
        "seed": Reaches("--seed 99", ("train.seed", "save_model.training.seed"), 99),
        "device": Reaches("--device cuda", "train.device", "cuda"),
    },
    "compress": {
        "path": Reaches("", "load.path", "{other}", base="{other} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "save.path", "{folder}/another.safetensors"),
        "psnr": Reaches("--psnr 30", "compress.psnr", 30.0),
        "bits_per_gaussian": Reaches("--bits-per-gaussian 25", "compress.bits_per_gaussian", 25.0),
        "nbytes": Reaches("--bytes 12345", "compress.nbytes", 12345),
        "pixel_bits": Reaches("--pixel-bits 3", "compress.pixel_bits", 3),
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(TESTED, without=("size",)),
        "epochs": Reaches("--epochs 123", "evaluate.epochs", 123, base=TESTED),
        "repeats": Reaches("--repeats 3", "evaluate.repeats", 3, base=TESTED),
        "seed": Reaches("--seed 99", "evaluate.seed", 99, base=TESTED),
        "device": Reaches("--device cpu", "evaluate.device", "cpu", base=TESTED),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
        "as_json": Reaches("--json", "json", True),
    },
    "fit": {
        "path": Reaches("", "load.path", "{other}", base="{other} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "claim.outputs.0.path", "{folder}/another.safetensors"),
        "ipc": Reaches("--ipc 3", "fit_set.ipc", 3),
        "gaussians": Reaches("--gaussians 17", "fit_set.count", 17),
        "gpc": Reaches("--gpc 2", "fit_set.gpc", 2),
        "steps": Reaches("--steps 7", "fit_set.steps", 7),
        "seed": Reaches("--seed 99", "fit_set.seed", 99),
        "device": Reaches("--device cuda", "fit_set.device", "cuda"),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "import": {
        "path": Reaches("", "images_and_labels.path", "{folder}/b.pt", base="{folder}/b.pt --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "claim.outputs.0.path", "{folder}/another.safetensors"),
        "labels": Reaches("--labels {folder}/labels.pt", "images_and_labels.labels", "{folder}/labels.pt"),
        "mean": Reaches("--mean 0.5 --std 0.25", "foreign_set.given.mean", (0.5,)),
        "std": Reaches("--mean 0.5 --std 0.25", "foreign_set.given.std", (0.25,)),
        "normalized_by": Reaches("--normalized-by fashion-mnist", "foreign_set.given.mean", (0.2861,)),
        "whitened_by": Reaches("--whitened-by {other}", "load.path", "{other}"),
        "formation": Reaches("--formation 2", "foreign_set.formation", 2),
        "class_names": Reaches("--class-names a,b", "foreign_set.class_names", ["a", "b"]),
        "learning_rate": Reaches("--learning-rate 0.125", "foreign_set.learned_rate", 0.125),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "whiten": {
        "path": Reaches("", "load.path", "{other}", base="{other} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "claim.outputs.0.path", "{folder}/another.safetensors"),
        "dataset": Reaches("--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos"),
        **of_data(without=("size", "normalization", "zca")),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "select": {
        "path": Reaches("", "load.path", "{other}", base="{other} --classes 1 --out {out}.safetensors"),
        "classes": Reaches("--classes 2,0", "select_classes.classes", ["2", "0"], base="{set} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "save.path", "{folder}/another.safetensors"),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "merge": {
        "paths": Reaches("", "load.path", "{set}", base="{other} {set} --out {out}.safetensors"),
        "out": Reaches("--out {folder}/another.safetensors", "save.path", "{folder}/another.safetensors"),
        "mean": Reaches("--mean 0.5,0.25", "merge_sets.mean", [0.5, 0.25]),
        "std": Reaches("--std 0.5,0.25", "merge_sets.std", [0.5, 0.25]),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "relabel": {
        "path": Reaches("", "load.path", "{other}", base="{other} --teacher {folder} --out {out}.safetensors"),
        "teacher": Reaches("--teacher {folder}/other", "load_teacher.path", "{folder}/other"),
        "out": Reaches("--out {folder}/another.safetensors", "claim.outputs.0.path", "{folder}/another.safetensors"),
        "temperature": Reaches("--temperature 4", "relabel.temperature", 4.0),
        "device": Reaches("--device cuda", "relabel.device", "cuda"),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
    },
    "export": {
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
        "path": Reaches("", "load.path", "{other}", base="{other} --onnx {out}.onnx"),
        "onnx": Reaches("--onnx {folder}/another.onnx", "export_onnx.out", "{folder}/another.onnx"),
        "onnx_train_step": Reaches(
            "--onnx-train-step {folder}/another.onnx", "export_train_step.out", "{folder}/another.onnx"
        ),
        "torchscript": Reaches("--torchscript {folder}/another.pt", "export_torchscript.out", "{folder}/another.pt"),
        "pt2": Reaches("--pt2 {folder}/another.pt2", "export_program.out", "{folder}/another.pt2"),
        "aot_inductor": Reaches("--aot-inductor {folder}/b.pt2", "export_aot_inductor.out", "{folder}/b.pt2"),
        "tensorrt": Reaches("--tensorrt {folder}/another.engine", "export_tensorrt.out", "{folder}/another.engine"),
        "normalize": Reaches("--normalize", tuple(f"{name}.normalize" for name in DECODERS), True),
        "size": Reaches("--size 20x24", (*(f"{name}.size" for name in DECODERS), "export_train_step.size"), (20, 24)),
        "dtype": Reaches("--dtype float16", tuple(f"{name}.dtype" for name in DECODERS), torch.float16),
        "device": Reaches("--device cuda", ("export_program.device", "export_aot_inductor.device"), "cuda"),
        "inline": Reaches("--inline", "export_onnx.inline", True),
        "opset": Reaches("--opset 22", ("export_onnx.opset", "export_train_step.opset"), 22),
        "network": Reaches("--network convnet4", "export_train_step.network", "convnet4"),
        "seed": Reaches("--seed 99", "export_train_step.seed", 99),
        "learning_rate": Reaches("--learning-rate 0.125", "export_train_step.learning_rate", 0.125),
        "momentum": Reaches("--momentum 0.5", "export_train_step.momentum", 0.5),
        "weight_decay": Reaches("--weight-decay 0.25", "export_train_step.weight_decay", 0.25),
        "set_learning_rate": Reaches("--set-learning-rate 0.75", "export_train_step.set_learning_rate", 0.75),
        "min_batch": Reaches("--min-batch 2", "export_tensorrt.min_batch", 2),
        "opt_batch": Reaches("--opt-batch 7", "export_tensorrt.opt_batch", 7),
        "max_batch": Reaches("--max-batch 99", "export_tensorrt.max_batch", 99),
        "builder": Reaches("--builder tensorrt-rtx", "export_tensorrt.builder", "tensorrt-rtx"),
    },
    "decode": {
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
        "path": Reaches("", "load.path", "{other}", base="{other} --out {out}.npy"),
        "out": Reaches("--out {folder}/another.npy", "write_decoded.out", "{folder}/another.npy"),
        "indices": Reaches("--indices 1:3", "write_decoded.indices", range(1, 3)),
        "size": Reaches("--size 20x24", "write_decoded.size", (20, 24)),
    },
    "datasets": {"as_json": Reaches("--json", "json", True)},
    "networks": {"as_json": Reaches("--json", "json", True)},
    "recipes": {
        "name": Reaches("sample-dm", "load_recipe.name", "sample-dm"),
        "as_json": Reaches("--json", "json", True),
    },
    "info": {
        "path": Reaches("", "load.path", "{other}", base="{other}"),
        "network": Reaches("--network mlp", "load_set_or_model.network", "mlp"),
        "as_json": Reaches("--json", "json", True),
    },
    "bench": {
        "sets": Reaches("{other}", "load.path", "{other}", base="rate --dataset fashion-mnist-sample"),
        "dataset": Reaches(
            "--dataset imagefolder:photos", "load_dataset.name", "imagefolder:photos", base="rate {set}"
        ),
        **of_data(RATE),
        "network": Reaches("--network mlp", "run_rate_bench.network", "mlp", base=RATE),
        "epochs": Reaches("--epochs 123", "run_rate_bench.epochs", 123, base=RATE),
        "repeats": Reaches("--repeats 3", "run_rate_bench.repeats", 3, base=RATE),
        "seed": Reaches("--seed 99", "run_rate_bench.seed", 99, base=RATE),
        "code": Reaches("--code", "run_rate_bench.code", True, base=RATE),
        "overwrite": Reaches("--overwrite", "claim.overwrite", True),
        "what": Reaches("train", "run_train_bench", True),
        "rounds": Reaches("--rounds 9", "run_decode_bench.rounds", 9),
        "threads": Reaches("--threads 3", "run_decode_bench.threads", 3),
        "chart": Reaches("--chart {folder}/chart.svg", "render_chart.path", "{folder}/chart.svg"),
        "device": Reaches("--device cpu", "run_train_bench.device", "cpu", base="train"),
        "as_json": Reaches("--json", "json", True),
    },
    "doctor": {"as_json": Reaches("--json", "json", True)},
}
