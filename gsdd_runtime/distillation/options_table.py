"""The table of options in docs/distilling.md, made from their declarations.

    python -m gsdd_runtime.distillation.options_table docs/distilling.md

writes it between the two marks of that file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gsdd_runtime.distillation.options import all_options

BEGIN, END = "<!-- options: made from their declarations -->", "<!-- end of options -->"


def options_table() -> str:
    """Every option with its default, its meaning and whose it is, as Markdown."""
    lines = ["| option | default | meaning | of |", "|---|---|---|---|"]
    for name, declarations in all_options().items():
        for owned in declarations:
            one, owners = owned.option, ", ".join(owned.owners) or "every run"
            lines.append(f"| `{name}` | {one.default_text} | {one.words} | {owners} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """``text`` with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{options_table()}\n{END}{after}"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(with_table(place.read_text()))
