from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from predictor.model.bundle import ModelBundle

Parts = dict[str, tuple[str, bytes]]
PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def table(bundle: ModelBundle) -> Any:
    """Return a function that makes a table of features from (participant, value, recipe) rows."""

    def make(*rows: tuple[str, Any, str]) -> dict[str, tuple[str, bytes]]:
        names = bundle.feature_names
        lines = ["\t".join(["participant_id", *names, "recipe_hash"])]
        lines += ["\t".join([who, *[str(value)] * len(names), recipe]) for who, value, recipe in rows]
        return {"table": ("features.tsv", "\n".join(lines).encode())}

    return make


def test_home_says_what_it_is_and_which_model_answers(client: httpx.Client) -> None:
    page = client.get("/", headers=PAGE).text
    assert "Research use only" in page
    assert "What it is not" in page
    assert "Not promoted" in page
    assert "80 people, made-up trial" in page
    assert "0.31 [0.10, 0.50]" in page
    assert "Score the sample visit" in page


@pytest.mark.parametrize("path", ["/", "/visit", "/table", "/history", "/models", "/docs", "/nothing"])
def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(client: httpx.Client, path: str) -> None:
    page = client.get(path, headers=PAGE).text
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\sstyle=|<style|\son\w+=", page)


@pytest.mark.parametrize("path", ["/visit", "/table"])
def test_every_input_has_a_label(client: httpx.Client, path: str) -> None:
    page = client.get(path, headers=PAGE).text
    names = re.findall(r'<(?:input|select)[^>]*\bid="([^"]+)"', page)
    assert names
    assert set(names) <= set(re.findall(r'<label[^>]*\bfor="([^"]+)"', page))


def test_a_number_that_nobody_can_have_is_noticed_before_anything_is_sent(client: httpx.Client) -> None:
    page = client.get("/visit", headers=PAGE).text
    (field,) = re.findall(r'<input[^>]*\bid="covariate-caps5_total_baseline"[^>]*>', page)
    assert 'min="0"' in field
    assert 'max="80"' in field


def test_the_first_page_stays_small(client: httpx.Client) -> None:
    paths = ["/visit", "/static/page.css", "/static/page.js", "/static/visit.js", "/static/icon.svg"]
    assert sum(len(client.get(path).content) for path in paths) < 150_000


def test_the_sample_visit_leads_to_its_result(client: httpx.Client, visit: Parts) -> None:
    reply = client.post("/sample", headers=PAGE)
    assert reply.status_code == 303
    address = reply.headers["location"]
    page = client.get(address, headers=PAGE).text
    kept = client.get(f"{address}/answer.json").json()
    assert kept["answer"]["explanation"]["sentence"].split(";")[0] in page
    assert "Why unsure" in page
    covariates = json.dumps({"caps5_total_baseline": 44, "site": "A", "sex": "female"})
    sent = client.post("/v1/scans", files=visit, data={"covariates": covariates})
    assert sent.json()["answer"] == kept["answer"]


def test_a_result_says_which_cohort_its_model_learned_from(client: httpx.Client) -> None:
    page = client.post("/sample", headers=PAGE, follow_redirects=True).text
    assert "(not promoted), trained on 80 people, made-up trial." in page


def test_an_upload_from_the_form_works_without_any_script(client: httpx.Client, visit: Parts) -> None:
    left_empty = [('name="rest_sidecar"; filename=""', b""), ('name="conflict"; filename=""', b"")]
    fields = {"covariate-caps5_total_baseline": b"44", "covariate-site": b"A", "covariate-sex": b"female"}
    chosen = [(f'name="{name}"; filename="{file}"', content) for name, (file, content) in visit.items()]
    parts = [*left_empty, *chosen[:3], *chosen[4:], *((f'name="{name}"', value) for name, value in fields.items())]
    heads = [f"--line\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() for head, _ in parts]
    body = b"".join(head + content + b"\r\n" for head, (_, content) in zip(heads, parts, strict=True))
    headers = {**PAGE, "Content-Type": "multipart/form-data; boundary=line"}
    reply = client.post("/visit", content=body + b"--line--\r\n", headers=headers)
    assert reply.status_code == 303
    kept = client.get(f"{reply.headers['location']}/answer.json").json()["answer"]
    sent = client.post(
        "/v1/scans",
        files={name: part for name, part in visit.items() if name != "rest_sidecar"},
        data={"covariates": json.dumps({"caps5_total_baseline": 44, "site": "A", "sex": "female"})},
    )
    assert kept == sent.json()["answer"]


def test_a_problem_is_a_page_for_people_and_a_document_for_scripts(client: httpx.Client, visit: Parts) -> None:
    cut = {"rest": ("sub-01_task-rest_bold.nii.gz", visit["rest"][1][:-5000])}
    page = client.post("/visit", files=cut, headers=PAGE)
    assert page.headers["content-type"].startswith("text/html")
    assert "scan-truncated" in page.text
    assert "sub-01" not in page.text
    document = client.post("/visit", files=cut, headers={"Accept": "application/json"})
    assert document.json()["code"] == "scan-truncated"
    wrong_number = client.post("/visit", files=visit, data={"covariate-caps5_total_baseline": "high"}, headers=PAGE)
    assert "field caps5_total_baseline" in wrong_number.text


def test_downloads_hold_the_answer_the_drawing_and_the_page(client: httpx.Client) -> None:
    address = client.post("/sample").headers["location"]
    assert client.get(f"{address}/answer.json").json()["answer"]["research_use_only"] is True
    page = client.get(address, headers=PAGE).text
    drawing = client.get(next(link for link in re.findall(r'href="([^"]+)"', page) if link.endswith("waterfall.svg")))
    assert drawing.headers["content-type"] == "image/svg+xml"
    ElementTree.fromstring(drawing.content)
    report = client.get(f"{address}/report.html").text
    assert "<style>" in report
    assert not re.search(r'(?:src|href)="/', report)


def test_the_report_in_one_file_has_every_tab_and_no_script(client: httpx.Client) -> None:
    address = client.post("/sample").headers["location"]
    report = client.get(f"{address}/report.html").text
    assert "<script" not in report
    for heading in ("Quality of the scans", "Methods and citations", "Technical", "Where in the brain"):
        assert heading in report
    assert report.count("Research use only") >= 3


def test_the_brain_is_there_without_a_script_and_its_numbers_for_one(client: httpx.Client) -> None:
    address = client.post("/sample").headers["location"]
    page = client.get(address, headers=PAGE).text
    assert "Where in the brain the number comes from" in page, "the flat drawing has this title"
    assert "plotly" not in page, "the library is fetched on demand only"
    circuit = client.get(f"{address}/circuit.json").json()
    assert circuit["research_use_only"] is True
    names = {region["name"] for region in circuit["regions"]}
    assert len(names) == 12
    assert {edge[end] for edge in circuit["edges"] for end in ("source", "target")} <= names


def test_the_3d_library_and_the_surface_come_from_here_and_may_be_cached(client: httpx.Client) -> None:
    library = client.get("/static/plotly.min.js")
    assert library.status_code == 200
    assert library.headers["content-type"].startswith("text/javascript")
    surface = client.get("/static/brain-surface.bin")
    assert 50_000 < len(surface.content) < 150_000
    for reply in (library, surface):
        assert reply.headers.get("cache-control") != "no-store"


def test_a_deleted_result_is_gone(client: httpx.Client) -> None:
    address = client.post("/sample").headers["location"]
    assert client.post(f"{address}/delete").headers["location"] == "/history"
    gone = client.get(address, headers=PAGE)
    assert gone.status_code == 404
    assert "result-unknown" in gone.text


def test_a_table_gives_a_result_for_each_row(client: httpx.Client, bundle: ModelBundle, table: Any) -> None:
    rows = table(("mine", 0.1, bundle.recipe_hashes[0]), ("other", 0.2, "sha256:" + "0" * 64), ("third", 0.3, ""))
    page = client.post("/table", files=rows, headers=PAGE).text
    assert "3 visits scored" in page
    states = re.findall(r'class="state state-(\w+)"', page)
    assert states == ["flagged", "refused", "flagged"]
    addresses = re.findall(r'href="(/results/\w+)"', page)
    refused = client.get(addresses[1], headers=PAGE).text
    assert "This visit is not scored" in refused
    assert "Expected improvement" not in refused
    assert "Read with care" in client.get(addresses[2], headers=PAGE).text


def test_nothing_is_scored_until_wrong_rows_are_left_out_on_purpose(client: httpx.Client, table: Any) -> None:
    rows = table(("good", 0.1, ""), ("bad", "x", ""))
    page = client.post("/table", files=rows, headers=PAGE)
    assert page.status_code == 422
    assert "Nothing was scored" in page.text
    assert "line 3, column rest_fisher_z__amygdala_L__vmPFC" in page.text
    assert page.text.count("Expected a number") == 1, "one fault in many cells is said once, with all its places"
    left_out = client.post("/table", files=rows, data={"leave_out": "yes"}, headers=PAGE)
    assert left_out.status_code == 200
    assert "1 visit scored" in left_out.text


def test_labels_of_visits_cannot_become_markup(client: httpx.Client, table: Any) -> None:
    page = client.post("/table", files=table(("<script>alert(1)</script>", 0.1, "")), headers=PAGE).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_the_template_has_the_columns_of_the_model(client: httpx.Client, bundle: ModelBundle) -> None:
    header = client.get("/table/template.tsv").text.rstrip("\n").split("\t")
    assert set(bundle.feature_names) <= set(header)


def test_the_printed_commands_run_as_they_stand_and_name_no_key_where_none_is_needed(client: httpx.Client) -> None:
    page = unescape(client.get("/docs", headers=PAGE).text)
    body = re.search(r"-d '(.*)'", page)
    assert body is not None
    scored = client.post("/v1/predictions", content=body[1], headers={"Content-Type": "application/json"})
    assert scored.status_code == 200, scored.text
    assert "Authorization" not in page


def test_an_unknown_address_says_so_once_and_leads_on(client: httpx.Client) -> None:
    page = client.get("/nothing", headers=PAGE).text
    banner = page.partition("<main")[2]
    assert banner.lower().count("nothing answers at this address") == 1
    assert 'href="/visit"' in page
    assert "Sign in" not in page, "nobody is asked for a key here"
