"""``gsdd-rt recipes``: which recipes there are, what each does, and the figure to expect of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands.shared import JsonOption, print_json

if TYPE_CHECKING:
    from gsdd_runtime.distillation.recipes import Recipe


def command(
    name: Annotated[str | None, typer.Argument(help="Tell all of this one.")] = None, as_json: JsonOption = False
) -> None:
    """List the recipes of distill --recipe: data, objective, storage, and the figure to expect with its source."""
    from gsdd_runtime.distillation.recipes import load_recipe, recipe_names

    found = [load_recipe(one) for one in (recipe_names() if name is None else (name,))]
    if as_json:
        print_json({"recipes": [one.as_dict() for one in found]})
        return
    if name is not None:
        print(_whole(found[0]))
        return
    rows = [("recipe", "data", "objective", "storage", "expect", "cost"), *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\ngsdd-rt recipes NAME tells all of one; gsdd-rt distill --recipe NAME --out SET runs it.")


def _row(recipe: Recipe) -> tuple[str, ...]:
    figures = [f"{one.accuracy:g} % ({one.source})" for one in recipe.expect]
    return (
        recipe.name,
        _data(recipe),
        _objective(recipe),
        _storage(recipe),
        "; ".join(figures) or "not measured",
        recipe.cost or "not measured",
    )


def _data(recipe: Recipe) -> str:
    data = recipe.data
    named = data.get("dataset") or f"ImageNet {data.get('classes', '')}".strip()
    return " ".join([named, *([data["size"]] if "size" in data else []), *(["ZCA"] if data.get("zca") else [])])


def _objective(recipe: Recipe) -> str:
    options = recipe.distill
    return f"{options.get('method', 'dm')}, {options['iterations']} steps, {options['network']}"


def _storage(recipe: Recipe) -> str:
    options = recipe.distill
    coded = ", coded" if options.get("coding", "none") != "none" else ""
    return f"ipc {options['ipc']}, {options['gpc']} images a class{coded}"


def _whole(recipe: Recipe) -> str:
    lines = [f"{recipe.name}: {recipe.title}"]
    if recipe.needs:
        lines.append(f"  needs     {recipe.needs}")
    lines += [f"  {part:<9} {_settings(table)}" for part, table in (("data", recipe.data), ("distill", recipe.distill))]
    for one in recipe.expect:
        lines.append(f"  expect    {one.accuracy:g} % ({one.source}): {one.protocol}")
    lines.append(f"  cost      {recipe.cost or 'not measured'}")
    return "\n".join(lines)


def _settings(table: Any) -> str:
    return ", ".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in table.items()
    )
