from __future__ import annotations

from pathlib import Path

import pytest
from check_site import faults_of_site, main


def _site(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def test_a_site_whose_links_lead_somewhere_has_no_faults(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    page = '<h2 id="here">x</h2><a href="#here">x</a><a href="other.html#there">y</a><img src="a.png?v=1">'
    site = _site(tmp_path, index=page, other='<p id="there"><a href="https://doi.org/10.1/x">a doi</a>')
    assert faults_of_site(site) == []
    assert main([str(site)]) == 0


@pytest.mark.parametrize(
    "loads",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<img src="//cdn.example/x.png">',
        '<img srcset="a.png 1x, https://cdn.example/x.png 2x">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<link rel="stylesheet" href="https://fonts.example/x.css">',
        "<style>@import 'https://fonts.example/x.css';</style>",
        '<p style="background: url(https://cdn.example/x.png)">',
        '<svg><use xlink:href="https://cdn.example/x.svg#a"/></svg>',
        '<iframe src="https://elsewhere.example"></iframe>',
    ],
)
def test_whatever_a_browser_would_fetch_from_another_host_is_a_fault(tmp_path: Path, loads: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert [fault.partition(": ")[2] for fault in faults_of_site(_site(tmp_path, index=loads))] != []
    assert main([str(tmp_path)]) == 1


def test_a_style_sheet_that_fetches_from_another_host_is_a_fault(tmp_path: Path) -> None:
    _site(tmp_path, index="")
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }", encoding="utf-8")
    assert faults_of_site(tmp_path) == ["a.css: loads from another host: https://fonts.example/a.woff2"]


def test_links_to_absent_pages_and_anchors_are_faults(tmp_path: Path) -> None:
    site = _site(
        tmp_path, index='<a href="gone.html">x</a><a href="other.html#gone">y</a><a href="#gone">z</a>', other=""
    )
    assert faults_of_site(site) == [
        "index.html: links to a page that is not there: gone.html",
        "index.html: links to an anchor that is not there: other.html#gone",
        "index.html: links to an anchor that is not there: #gone",
    ]


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    assert faults_of_site(tmp_path) == ["expected at least one page, found none"]
