"""Mutations of the commands: an option that is dropped, a command that stops once it has loaded."""

from __future__ import annotations

from mutation import Mutation

DECODE = "gsdd_runtime/commands/decode.py"
DEMO = "gsdd_runtime/commands/demo.py"
DISTILL = "gsdd_runtime/commands/distill.py"
EVALUATE = "gsdd_runtime/commands/evaluate.py"
EXPORT = "gsdd_runtime/commands/export.py"
FIT = "gsdd_runtime/commands/fit.py"
FITTED_DATA = "gsdd_runtime/distillation/fitted_data.py"
PROTOCOL = "gsdd_runtime/commands/protocol.py"
SHARED = "gsdd_runtime/commands/shared.py"
TRAIN = "gsdd_runtime/commands/train.py"

OPTIONS = ("test_command_options.py::test_an_option_reaches_the_library",)
COMMANDS = ("test_whole_way.py::test_the_commands_lead_from_a_folder_of_images_to_a_network",)
SMALL_DEMO = ("test_whole_way.py::test_a_small_demo_runs_to_its_end",)


DISTILL_OPTIONS = ("checkpoint_interval", "checkpoint_seconds", "resume", "overwrite")


def dropped(option: str, file: str, *, short: bool = False) -> Mutation:
    """A command that does not hand an option on."""
    command = file.split("/")[-1].removesuffix(".py")
    own = "options." if file == SHARED else ""
    return Mutation(f"{command} drops {option}", file, f" {option}={own}{option},\n", "\n", OPTIONS, short=short)


MUTATIONS = [
    Mutation(
        "shows a traceback where memory ends",
        "gsdd_runtime/commands/exits.py",
        "if not is_out_of_memory(error):",
        "if True:",
        ("test_faults.py::test_memory_that_ends_is_told_in_a_line",),
    ),
    Mutation(
        "leaves a lock behind where its file cannot be written",
        "gsdd_runtime/atomic.py",
        "                except OSError:\n                    place.unlink()\n",
        "                except OSError:\n",
        ("test_faults.py::test_no_lock_stays_where_its_file_cannot_be_written",),
    ),
    *(dropped(option, DISTILL) for option in DISTILL_OPTIONS),
    *(dropped(option, SHARED) for option in ("test_part", "classes", "resize", "normalization", "zca", "cache")),
    Mutation("distill drops every declared option", DISTILL, "**{**options, **(", "**{**(", OPTIONS, short=True),
    Mutation(
        "eval ignores --seed",
        PROTOCOL,
        '"seed": SEED if training.seed is None else training.seed',
        '"seed": SEED',
        OPTIONS,
    ),
    Mutation(
        "eval ignores --device",
        PROTOCOL,
        '"recipe", "epochs", "learning_rate", "batch_size", "repeats", "seed", "tests", "device")',
        '"recipe", "epochs", "learning_rate", "batch_size", "repeats", "seed", "tests")',
        OPTIONS,
    ),
    Mutation(
        "eval raises once it has loaded",
        EVALUATE,
        "        document = protocols.evaluated(request, sets)",
        '        raise RuntimeError("after loading")\n        document = protocols.evaluated(request, sets)',
        COMMANDS,
        short=True,
    ),
    Mutation(
        "train raises once it has loaded",
        TRAIN,
        "        model = train(\n",
        '        raise RuntimeError("after loading")\n        model = train(\n',
        COMMANDS,
    ),
    Mutation(
        "train drops --epochs",
        TRAIN,
        "            distilled, network=network, recipe=recipe, epochs=epochs,",
        "            distilled, network=network, recipe=recipe,",
        OPTIONS,
    ),
    Mutation(
        "train writes a network that was not trained",
        TRAIN,
        "    save_model(model, out, ",
        "    model.classifier.weight.data.zero_()\n    save_model(model, out, ",
        COMMANDS,
    ),
    Mutation(
        "train drops --batch-size",
        TRAIN,
        "            batch_size=batch_size, teacher=known,",
        "            teacher=known,",
        OPTIONS,
    ),
    Mutation(
        "train drops --seed",
        TRAIN,
        "teacher=known, seed=seed, device=device, progress=progress,",
        "teacher=known, device=device, progress=progress,",
        OPTIONS,
    ),
    Mutation(
        "info takes an expert for its teacher's labels",
        "gsdd_runtime/commands/known_files.py",
        "return name, tell(path)",
        "return 'labels of views', tell(path)",
        ("test_info.py::test_experts_their_files_and_one_that_is_not_done",),
    ),
    Mutation(
        "the demo raises once it has loaded",
        DEMO,
        "    with progress_bar() as progress:\n        rows",
        '    raise RuntimeError("after loading")\n    with progress_bar() as progress:\n        rows',
        SMALL_DEMO,
        short=True,
    ),
    Mutation(
        "the demo ignores its seed",
        DEMO,
        "        seed=seed,\n        out=path,",
        "        out=path,",
        SMALL_DEMO,
    ),
    Mutation(
        "the demo's files do not state the accuracy",
        DEMO,
        'distilled.save(out / f"{name}.safetensors")\n    return Row(',
        "return Row(",
        SMALL_DEMO,
    ),
    Mutation(
        "decode ignores --indices",
        DECODE,
        "indices=chosen",
        "indices=range(len(distilled))",
        OPTIONS,
    ),
    Mutation(
        "export drops --normalize",
        EXPORT,
        'options: dict[str, Any] = {"normalize": normalize, ',
        'options: dict[str, Any] = {"normalize": False, ',
        OPTIONS,
    ),
    Mutation(
        "fit holds a fifth of a folder out",
        FIT,
        "options = options if has_test_folder(Path(folder)) else replace(options, test_part=0.0)",
        "pass",
        ("test_fitted_data.py::test_the_command_takes_all_images_where_none_are_kept_to_test_on",),
    ),
    Mutation(
        "fit starts every part of a dataset from the same Gaussians",
        FITTED_DATA,
        'derived_seed(self.seed, "fit", "part", number)',
        'derived_seed(self.seed, "fit", "part", 0)',
        ("test_fitted_data.py::test_every_image_is_fitted_in_its_place",),
    ),
    Mutation(
        "fit goes on with parts of a run with other options",
        FITTED_DATA,
        "                self._check(self.path(number), open_container(self.path(number), KIND).fields)",
        "                pass",
        ("test_fitted_data.py::test_a_run_that_was_stopped_goes_on_to_the_same_bytes",),
    ),
    Mutation(
        "takes a name for Triton's model that leads out of its folder",
        "export/triton.py",
        'r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"',
        'r".*"',
        ("test_triton.py::test_what_is_refused",),
    ),
]
