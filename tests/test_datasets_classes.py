"""Chosen classes: subsets of ImageNet, lists, files; their order and names; and what is asked for and not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData, load_dataset
from gsdd_runtime.datasets.catalog import IMAGENET
from gsdd_runtime.datasets.class_choice import SUBSETS, choose_classes, imagenet_names
from gsdd_runtime.errors import InputError

WORDNET = list(imagenet_names())
# As the repositories' comments name them.
READABLE = {
    "nette": ["tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
              "gas pump", "golf ball", "parachute"],
    "woof": ["Australian terrier", "Border terrier", "Samoyed", "beagle", "Shih-Tzu", "English foxhound",
             "Rhodesian ridgeback", "dingo", "golden retriever", "Old English sheepdog"],
    "fruit": ["pineapple", "banana", "strawberry", "orange", "lemon", "pomegranate", "fig", "bell pepper", "cucumber",
              "Granny Smith"],
    "yellow": ["bee", "yellow lady's slipper", "banana", "lemon", "corn", "school bus", "honeycomb", "lion",
               "black and gold garden spider", "goldfinch"],
    "meow": ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "lion", "tiger", "jaguar",
             "snow leopard", "lynx"],
    "squawk": ["peacock", "flamingo", "macaw", "pelican", "king penguin", "bald eagle", "toucan", "ostrich",
               "black swan", "sulphur-crested cockatoo"],
    "a": ["Leonberg", "proboscis monkey", "rapeseed", "three-toed sloth", "cliff dwelling", "yellow lady's slipper",
          "hamster", "gondola", "killer whale", "limpkin"],
    "b": ["spoonbill", "web site", "lorikeet", "African hunting dog", "earthstar", "trolleybus", "echidna",
          "Pomeranian", "odometer", "ruddy turnstone"],
    "c": ["freight car", "hummingbird", "fireboat", "disk brake", "bee eater", "rock beauty", "lion",
          "European gallinule", "cabbage butterfly", "goldfinch"],
    "d": ["ostrich", "Samoyed", "junco", "Brabancon griffon", "chickadee", "sorrel", "admiral", "great grey owl",
          "hornbill", "ringlet"],
    "e": ["spindle", "toucan", "black swan", "king penguin", "potter's wheel", "photocopier", "screw", "tarantula",
          "oscilloscope", "lycaenid"],
}  # fmt: skip


def folder(root: Path, classes: list[str], parts: tuple[str, ...] = ("train", "val")) -> Path:
    """Two training images and a test image for each class, of one colour each."""
    for part in parts:
        for number, name in enumerate(classes):
            place = root / part / name
            place.mkdir(parents=True)
            for index in range(2 if part == "train" else 1):
                Image.new("RGB", (4, 4), (number, index, len(part))).save(place / f"{index}.png")
    return root


def load(root: Path, **options: object) -> RealData:
    return load_dataset(f"imagefolder:{root}", **options)  # type: ignore[arg-type]


def test_the_list_of_imagenet_is_sorted_and_its_names_are_distinct() -> None:
    assert len(WORDNET) == 1000
    assert sorted(WORDNET) == WORDNET
    assert len({name.lower() for name in imagenet_names().values()}) == 1000


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_subsets_are_those_of_the_papers(subset: str) -> None:
    chosen = choose_classes(subset, WORDNET, "folder")
    assert [one.name for one in chosen] == READABLE[subset]
    assert [one.key for one in chosen] == [WORDNET[number] for number in SUBSETS[subset]]


def test_a_subset_is_read_in_its_published_order_from_either_kind_of_folder(tmp_path: Path) -> None:
    ids = [WORDNET[number] for number in SUBSETS["woof"]]
    by_id = load(folder(tmp_path / "ids", [*sorted(ids), "n01440764"]), classes="woof")
    by_name = load(folder(tmp_path / "names", [*READABLE["woof"], "tench"]), classes="woof")
    for data, position in ((by_id, sorted(ids).index), (by_name, lambda one: ids.index(one))):
        assert list(data.class_names) == READABLE["woof"]
        assert data.train_labels.tolist() == [label for label in range(10) for _ in range(2)]
        assert data.train_images[::2, 0, 0, 0].tolist() == [position(one) for one in ids]
        assert data.test_images[:, 0, 0, 0].tolist() == [position(one) for one in ids]


def test_every_class_by_its_readable_name(tmp_path: Path) -> None:
    data = load(folder(tmp_path, ["n01440764", "n02102040", "own class"]), classes="imagenet")
    assert data.class_names == ("tench", "English springer", "own class")
    assert load(tmp_path).class_names == ("n01440764", "n02102040", "own class")


@pytest.mark.parametrize("parts", [("train", "test"), ("train",)])
def test_a_list_in_its_own_order(parts: tuple[str, ...], tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog", "mouse and rat", "käfer"], parts)
    data = load(root, classes=" käfer, cat,mouse and rat")
    assert data.class_names == ("käfer", "cat", "mouse and rat")
    assert data.train_images[data.train_labels == 1][:, 0].unique().tolist() == [0]
    assert data.train_images[data.train_labels == 0][:, 0].unique().tolist() == [3]
    assert load(root, classes=["dog"]).class_names == ("dog",)
    assert data.fingerprint != load(root, classes="cat,käfer,mouse and rat").fingerprint


def test_a_file_of_names_and_what_to_show(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", ["1", "2", "10"])
    (tmp_path / "list.txt").write_text("10\tten\n\n2\n")
    assert load(root, classes=str(tmp_path / "list.txt")).class_names == ("ten", "2")


def test_a_class_that_is_called_as_a_subset_comes_first(tmp_path: Path) -> None:
    root = folder(tmp_path, ["a", "b"])
    assert load(root, classes="a").class_names == ("a",)
    assert load(root, classes="b,a").class_names == ("b", "a")


def test_classes_that_are_not_read_may_differ_between_the_parts(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    folder(root / "more", ["bird"], ("train",))
    (root / "more" / "train" / "bird").rename(root / "train" / "bird")
    assert load(root, classes="dog,cat").class_names == ("dog", "cat")
    with pytest.raises(InputError, match="class bird is in train but not in val"):
        load(root, classes="dog,bird")


def test_data_in_memory_has_its_classes_chosen_too() -> None:
    whole = load_dataset("fashion-mnist-sample")
    data = load_dataset("fashion-mnist-sample", classes="Bag,Trouser")
    assert data.class_names == ("Bag", "Trouser")
    assert torch.equal(data.train_images[data.train_labels == 0], whole.train_images[whole.train_labels == 8])
    assert torch.equal(data.test_images[data.test_labels == 1], whole.test_images[whole.test_labels == 1])


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("cow", "has no class 'cow' (--classes): it has cat, dog"),
        ("nette", "has no class 'n01440764 (tench)'"),
        ("", "names no class"),
        (",,", "names no class"),
        ([], "names no class"),
        ("cat,cat", "the class 'cat' twice"),
        (["cat", 3], "a list of names"),
        ("{list}", "the name 'x' twice"),
        ("{data}", "is no text"),
        ("{evil}", "control character"),
    ],
)
def test_what_is_not_there_is_refused(classes: object, words: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "data", ["cat", "dog"])
    (tmp_path / "list").write_text("cat\tx\ndog\tx\n")
    (tmp_path / "data.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "evil").write_text("cat\t\x1b[2J\n")
    if isinstance(classes, str):
        classes = classes.format(list=tmp_path / "list", data=tmp_path / "data.bin", evil=tmp_path / "evil")
    with pytest.raises(InputError) as caught:
        load(root, classes=classes)
    assert words in str(caught.value)


def test_squashing_keeps_the_whole_picture(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 240
    for index in range(2):
        Image.fromarray(wide).save(tmp_path / "a" / f"{index}.png")
    squashed = load(tmp_path, size=(4, 4), resize="squash").train_images
    assert abs(float(squashed.float().mean()) - 80) < 3
    expected = np.asarray(Image.fromarray(wide).resize((4, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(squashed[0].numpy(), expected)
    assert int(load(tmp_path, size=(4, 4)).train_images.min()) == 240
    with pytest.raises(InputError, match="resize 'fit' is not known: choose one of cover, squash"):
        load(tmp_path, resize="fit")


def test_published_statistics_of_imagenet(tmp_path: Path) -> None:
    root = folder(tmp_path / "ids", ["n01440764", "n02102040"])
    for classes in (None, "imagenet"):
        data = load(root, classes=classes, normalization="published")
        assert (data.mean, data.std) == IMAGENET
    with pytest.raises(InputError, match="has no published mean and std"):
        load(folder(tmp_path / "own", ["cat", "dog"]), normalization="published")


def test_the_command_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("cifar100 ") and " 100 " in line and "--data-dir DIR" in line for line in lines)
    assert any(line.split()[0] == "nette" and "tench" in line for line in lines if line.strip())
