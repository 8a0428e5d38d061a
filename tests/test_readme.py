"""The README and docs/loading.md are true: commands parse, the cheap ones run, programs run, files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command

from gsdd_runtime import DistilledSet, networks
from gsdd_runtime.commands.cli import app, run
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.splatting.gaussians import initial_gaussians

CHECKOUT = Path(__file__).parent.parent
TEXT = (CHECKOUT / "README.md").read_text()


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Kind and content of each fenced block."""
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


BLOCKS = blocks_of(TEXT)
LOADING_BLOCKS = blocks_of((CHECKOUT / "docs" / "loading.md").read_text())


def command_lines(blocks: list[tuple[str, str]] = BLOCKS) -> list[list[str]]:
    lines = [line for kind, block in blocks if kind == "sh" for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("gsdd-rt ")]


PAGES = {page.name: page.read_text() for page in sorted((CHECKOUT / "docs").glob("*.md"))}

# Commands of the README that end within seconds on the small set below.
CHEAP = ("info", "decode", "export", "doctor")


def make_set(path: Path) -> None:
    """A set of the embedded data's shape, so that the README's code can use it."""
    gaussians = initial_gaussians(20, 28, 1, 28, 28, torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(20) // 2
    names = [str(index) for index in range(10)]
    DistilledSet(gaussians, labels, 28, 28, class_names=names, mean=(0.286,), std=(0.353,)).save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_set(tmp_path / "set.safetensors")
    distilled = DistilledSet.load(tmp_path / "set.safetensors")
    model = networks.build("convnet1-w4", 1, 10, (28, 28), seed=0)
    save_model(model, tmp_path / "model.safetensors", network="convnet1-w4", distilled_set=distilled)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_and_programs() -> None:
    assert len(command_lines()) >= 6
    assert [kind for kind, _ in BLOCKS].count("python") >= 2


def check_parses(words: list[str]) -> None:
    from gsdd_runtime.commands.export import fill_omitted_outputs

    group = get_command(app)
    arguments = fill_omitted_outputs(words[1:])
    with group.make_context("gsdd-rt", arguments[:1] if arguments[0].startswith("-") else ["doctor"]) as context:
        subcommand = group.get_command(context, arguments[0])  # type: ignore[attr-defined]
        assert subcommand is not None, f"no command {arguments[0]}"
        subcommand.make_context(arguments[0], arguments[1:], parent=context)


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    check_parses(words)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_parse(page: str) -> None:
    for words in command_lines(blocks_of(PAGES[page])):
        check_parses(words)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[page]):
        assert (CHECKOUT / "docs" / target).exists(), target


@pytest.mark.parametrize("words", [words for words in command_lines() if words[1] in CHEAP], ids=" ".join)
def test_cheap_commands_run(words: list[str], folder: Path) -> None:
    assert run(words[1:]) == 0


@pytest.mark.parametrize("program", [block for kind, block in BLOCKS + LOADING_BLOCKS if kind == "python"])
def test_programs_run(program: str, folder: Path) -> None:
    if "decoder.onnx" in program:
        assert run(["export", "set.safetensors", "--onnx", "decoder.onnx"]) == 0
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})


def test_make_targets_exist() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_linked_files_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (CHECKOUT / link).exists(), link
    for source in re.findall(r'src="([^":]+)"', TEXT):
        assert (CHECKOUT / source).exists(), source
