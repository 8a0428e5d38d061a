"""``gsdd-rt datasets``: which real data can be read, what each needs, and the subsets of ImageNet."""

from __future__ import annotations

from typing import Any

from gsdd_runtime.commands.shared import JsonOption, print_json
from gsdd_runtime.wording import bytes_in_words


def command(as_json: JsonOption = False) -> None:
    """List the datasets: classes, images, size, what has to be there, terms; and the named subsets of ImageNet."""
    from gsdd_runtime.datasets.cache import LIMIT_VARIABLE, PLACE_VARIABLE, cache_folder, cache_limit, cache_size
    from gsdd_runtime.datasets.catalog import DATASETS, FOLDER
    from gsdd_runtime.datasets.class_choice import SUBSETS, imagenet_names

    rows = [_facts(name, dataset) for name, dataset in DATASETS.items()]
    wordnet = list(imagenet_names().items())
    subsets = {name: [wordnet[number] for number in numbers] for name, numbers in SUBSETS.items()}
    folder = cache_folder()
    if as_json:
        print_json({
            "datasets": rows,
            "cache": {
                "folder": None if folder is None else str(folder), "bytes": cache_size(), "limit": cache_limit(),
            },
            "subsets": {
                name: [{"wordnet": key, "name": readable} for key, readable in held] for name, held in subsets.items()
            },
        })  # fmt: skip
        return
    width = max(len(row["name"]) for row in rows)
    print(f"{'dataset':<{width}}  {'classes':>7}  {'train':>9}  {'test':>6}  {'size':<7}  needs")
    for row in rows:
        size = "--size HxW" if row["height"] is None else f"{row['height']}x{row['width']}"
        size += "" if row["channels"] == 3 else " gray"
        needs = f"--data-dir DIR: {row['needs']}" if row["needs"] else "nothing: it is in the package"
        print(
            f"{row['name']:<{width}}  {row['classes']:>7}  {row['train_images']:>9,}  {row['test_images']:>6,}  "
            f"{size:<10}  {needs} ({row['terms']})"
        )
    print(
        f"{FOLDER + 'DIR':<{width}}  a folder of images for each class, with train and test (or val) above or without"
    )
    print("\nSubsets of ImageNet (--classes, of a folder with a folder for each WordNet id or readable name):")
    for name, held in subsets.items():
        print(f"  {name:<7}  {', '.join(readable for _, readable in held)}")
    if folder is None:
        print(f"\nDecoded pictures are not kept ({PLACE_VARIABLE} is off).")
        return
    used = f"{bytes_in_words(cache_size())} of {bytes_in_words(cache_limit())}"
    print(f"\nDecoded pictures are kept in {folder} ({used}; {PLACE_VARIABLE}, {LIMIT_VARIABLE}).")


def _facts(name: str, dataset: Any) -> dict[str, Any]:
    return {
        "name": name,
        "classes": dataset.classes,
        "train_images": dataset.images[0],
        "test_images": dataset.images[1],
        "height": None if dataset.size is None else dataset.size[0],
        "width": None if dataset.size is None else dataset.size[1],
        "channels": dataset.channels,
        "needs": dataset.needs,
        "terms": dataset.terms,
        "published": {"mean": list(dataset.published[0]), "std": list(dataset.published[1])},
    }
