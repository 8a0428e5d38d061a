"""Checks a built site: links inside it lead somewhere, every page is two clicks from the first, no host is asked.

Usage: check_site.py build/site
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Made by Sphinx beside our pages.
OF_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}
# What makes a browser ask a host by itself. Links to follow are let be.
ASKING = {
    "src": {"script", "img", "iframe", "source", "audio", "video", "embed", "input", "track"},
    "srcset": {"img", "source"},
    "href": {"link", "use", "image"},
    "data": {"object"},
    "poster": {"video"},
}
ASKING_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//""")


class Page(HTMLParser):
    """What a page links to, asks for, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.asked: set[str] = set()
        self.places: set[str] = set()
        text = path.read_text(encoding="utf-8")
        self.styled = bool(ASKING_STYLE.search(text))
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif value and tag == "a" and name == "href":
                self.links.add(value)
            elif value and tag in ASKING.get(name, ()):
                self.asked.add(value)


def faults(site: Path) -> list[str]:
    """One line for each thing that is wrong."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = [f"{path}: asks another host by its style" for path in sorted(site.rglob("*.css")) if _asks(path)]
    onward: dict[Path, set[Path]] = {}
    for path, page in pages.items():
        if page.styled:
            found.append(f"{path}: asks another host by its style")
        found += [f"{path}: asks for {address}" for address in sorted(page.asked) if urlsplit(address).netloc]
        onward[path] = set()
        for link in sorted(page.links | page.asked):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{path}: {link} leads nowhere")
            elif target in pages:
                onward[path].add(target)
                if parts.fragment and unquote(parts.fragment) not in pages[target].places:
                    found.append(f"{path}: {link} has no such place")
    first = site / "index.html"
    near = {first} | onward.get(first, set())
    near = near.union(*(onward[page] for page in near if page in onward))
    return found + [
        f"{path}: not within two clicks" for path in pages if path not in near and path.name not in OF_SPHINX
    ]


def _asks(style: Path) -> bool:
    return bool(ASKING_STYLE.search(style.read_text(encoding="utf-8")))


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    print("\n".join(wrong) or f"{sys.argv[1]}: every link leads somewhere, nothing is asked of another host")
    sys.exit(bool(wrong))
