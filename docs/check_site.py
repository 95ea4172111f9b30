"""Read a built site as a browser would: what loads from another host, and which inner links lead nowhere.

    python docs/check_site.py build/docs

Prints one line per fault and ends with exit code 1 if there is any. Links that a reader may follow to other sites
(a doi) are not opened and are no fault; images, scripts, styles and frames from elsewhere are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose address a browser fetches without being asked.
FETCHED = {
    ("audio", "src"), ("embed", "src"), ("iframe", "src"), ("image", "href"), ("img", "src"), ("input", "src"),
    ("object", "data"), ("script", "src"), ("source", "src"), ("track", "src"), ("use", "href"), ("video", "poster"),
    ("video", "src"),
}  # fmt: skip
FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}
_CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


@dataclass(slots=True)
class Page:
    """What a page fetches, links to, and offers as anchors."""

    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._is_style = tag == "style"
        self.page.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.page.fetched += [given[name] for name in given if (tag, name.removeprefix("xlink:")) in FETCHED]
        self.page.fetched += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.page.fetched += css_addresses(given.get("style", ""))
        if tag == "link" and FETCHED_LINKS & set(given.get("rel", "").split()):
            self.page.fetched.append(given.get("href", ""))
        if tag in ("a", "area") and given.get("href"):
            self.page.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False

    def handle_data(self, data: str) -> None:
        if self._is_style:
            self.page.fetched += css_addresses(data)


def read_page(html: str) -> Page:
    """Return what a page fetches, links to and offers.

    Examples
    --------
    >>> read_page('<img src="a.png"><a href="b.html#c">b</a><h2 id="d">d</h2>')
    Page(fetched=['a.png'], links=['b.html#c'], anchors={'d'})
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


def css_addresses(css: str) -> list[str]:
    """Return what a style sheet fetches."""
    return [found[0] or found[1] for found in _CSS_ADDRESS.findall(css)]


def faults_of_site(folder: Path) -> list[str]:
    """Return one line per fetch from another host, missing file or missing anchor, by page."""
    pages = {path: read_page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    sheets = {path: css_addresses(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.css"))}
    faults = [] if pages else ["expected at least one page, found none"]
    for path, page in pages.items():
        found = [*_faults_of_fetches(path, page.fetched), *_faults_of_links(path, page.links, pages)]
        faults += [f"{path.relative_to(folder)}: {fault}" for fault in found]
    for path, addresses in sheets.items():
        faults += [f"{path.relative_to(folder)}: {fault}" for fault in _faults_of_fetches(path, addresses)]
    return faults


def _faults_of_fetches(path: Path, addresses: list[str]) -> Iterator[str]:
    for address in addresses:
        parts = urlsplit(address)
        if parts.netloc or parts.scheme in ("http", "https"):
            yield f"loads from another host: {address}"
        elif not parts.scheme and parts.path and not _target(path, parts.path).exists():
            yield f"loads a file that is not there: {address}"


def _faults_of_links(path: Path, links: list[str], pages: dict[Path, Page]) -> Iterator[str]:
    for link in dict.fromkeys(links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = _target(path, parts.path) if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.exists():
            yield f"links to a page that is not there: {link}"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"links to an anchor that is not there: {link}"


def _target(path: Path, address: str) -> Path:
    return Path(f"{path.parent}/{unquote(address)}").resolve()


def main(arguments: list[str]) -> int:
    """Print the faults of the site in the folder that is named."""
    folder = Path(arguments[0]).resolve()
    faults = faults_of_site(folder)
    n_pages = len(list(folder.rglob("*.html")))
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.stdout.write(f"{n_pages} pages, {len(faults)} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
