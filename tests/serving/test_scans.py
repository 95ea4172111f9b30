from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.pipeline import recipe_of, score_session
from predictor.scan.session import find_visits, read_visit

Parts = dict[str, tuple[str, bytes]]
COVARIATES = {"caps5_total_baseline": 44.0, "site": "A", "sex": "female"}
Send = Callable[..., httpx.Response]


@pytest.fixture
def send(client: httpx.Client) -> Send:
    def post(parts: Parts, **fields: str) -> httpx.Response:
        return client.post("/v1/scans", files=parts, data=fields or None)

    return post


def answer_in(reply: httpx.Response) -> bytes:
    """Return the answer's bytes as they stand in the envelope."""
    assert reply.status_code == 200, reply.text
    return reply.content.split(b'"answer": ', 1)[1][:-1]


def problem(reply: httpx.Response) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json"
    document = dict(reply.json())
    assert {"type", "title", "status", "code", "detail", "where", "remedy", "more"} <= set(document)
    assert document["status"] == reply.status_code
    assert document["remedy"]
    assert "sub-01" not in reply.text  # file names may hold a participant's label
    return document


def inflated(visit: Parts, name: str) -> bytearray:
    return bytearray(gzip.decompress(visit[name][1]))


def test_the_answer_is_the_same_bytes_as_from_the_files(
    send: Send, visit: Parts, sample_visit_dir: Path, bundle: ModelBundle
) -> None:
    recipe = recipe_of(bundle)
    raw = sample_visit_dir.parents[2]
    (files,) = find_visits(sample_visit_dir.parent, bids_dir=raw, tasks=recipe.tasks, participant_labels=["01"])
    session = read_visit(files, recipe.circuit, recipe.tasks)
    expected = answer_bytes(score_session(session, COVARIATES, bundle))
    reply = send(visit, covariates=json.dumps(COVARIATES))
    assert answer_in(reply) == expected
    assert json.loads(expected)["arms"].keys() == {"ketamine", "midazolam"}
    assert reply.json()["model_version"] == "bundle"


def test_the_order_of_the_parts_does_not_matter(send: Send, visit: Parts) -> None:
    backwards = dict(reversed(visit.items()))
    assert answer_in(send(visit)) == answer_in(send(backwards))


def test_one_run_is_enough_and_the_other_is_named_as_missing(send: Send, visit: Parts) -> None:
    faces = {name: part for name, part in visit.items() if name.startswith("faces")}
    answer = json.loads(answer_in(send(faces)))
    assert answer["status"] == "flagged"
    (missing,) = [reason["detail"] for reason in answer["reasons"] if reason["code"].startswith("missing-features")]
    assert "rest" in missing
    assert answer["quality"].keys() == {"faces"}


def test_several_runs_of_a_kind_are_answered_as_from_the_files(
    send: Send, visit: Parts, sample_visit_dir: Path, bundle: ModelBundle
) -> None:
    recipe = recipe_of(bundle)
    raw = sample_visit_dir.parents[2]
    (files,) = find_visits(sample_visit_dir.parent, bids_dir=raw, tasks=recipe.tasks, participant_labels=["01"])
    rest, *others = files.runs
    twice = replace(files, runs=(rest, replace(rest, number=2), *others))
    expected = answer_bytes(score_session(read_visit(twice, recipe.circuit, recipe.tasks), COVARIATES, bundle))
    second = {name.replace("rest", "rest_2"): part for name, part in visit.items() if name.startswith("rest")}
    reply = send({**second, **visit}, covariates=json.dumps(COVARIATES))
    assert answer_in(reply) == expected
    assert json.loads(expected)["quality"].keys() >= {"rest", "rest_2"}


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("rest_2",), "part-missing"),
        (("rest", "rest_3"), "part-missing"),
        (("rest", "rest_2_confounds"), "part-missing"),
        (("rest", "rest_21"), "part-unknown"),
        (("rest", "rest_1"), "part-unknown"),
        (("rest", "rest_0"), "part-unknown"),
        (("rest", "rest_02"), "part-unknown"),
        (("rest", "rest_2_events"), "part-unknown"),
        (("rest", "rest_2_", "rest__2"), "part-unknown"),
        (("rest", "rest_²"), "part-unknown"),
    ],
)
def test_runs_are_numbered_without_gaps(names: tuple[str, ...], code: str, send: Send, visit: Parts) -> None:
    reply = send({name: visit["rest_confounds" if name.endswith("confounds") else "rest"] for name in names})
    assert problem(reply)["code"] == code


def test_an_uncompressed_scan_gives_the_same_numbers(send: Send, visit: Parts) -> None:
    plain = {**visit, "rest": ("x_space-MNI152NLin2009cAsym_bold.nii", bytes(inflated(visit, "rest")))}
    assert json.loads(answer_in(send(plain)))["arms"] == json.loads(answer_in(send(visit)))["arms"]


def header(visit: Parts, offset: int, values: Any, kind: str) -> Parts:
    """Return the visit with other bytes in the header of its rest scan."""
    content = inflated(visit, "rest")
    written = np.asarray(values, dtype=kind).tobytes()
    content[offset : offset + len(written)] = written
    return {**visit, "rest": ("bold.nii", bytes(content))}


def changed(visit: Parts, name: str, content: bytes) -> Parts:
    return {**visit, name: (visit[name][0], content)}


DAMAGE: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "gzip cut off": (lambda v: changed(v, "rest", v["rest"][1][:-4000]), "scan-truncated"),
    "gzip damaged": (
        lambda v: changed(v, "rest", v["rest"][1][:100_000] + b"\xff" * 64 + v["rest"][1][100_064:]),
        "scan-corrupt",
    ),
    "checksum wrong": (
        lambda v: changed(v, "rest", v["rest"][1][:-8] + b"\0\0\0\0" + v["rest"][1][-4:]),
        "scan-corrupt",
    ),
    "plain file cut off": (
        lambda v: {**v, "rest": ("bold.nii", bytes(inflated(v, "rest")[:-1000]))},
        "scan-truncated",
    ),
    "more volumes promised": (lambda v: header(v, 48, [500], "<i2"), "scan-truncated"),
    "impossible size": (lambda v: header(v, 42, [-5], "<i2"), "scan-header-invalid"),
    "one volume": (lambda v: header(v, 40, [3], "<i2"), "scan-not-4d"),
    "five dimensions": (lambda v: header(v, 40, [5, 28, 35, 30, 150, 2], "<i2"), "scan-not-4d"),
    "complex numbers": (lambda v: header(v, 70, [32, 64], "<i2"), "scan-type-unsupported"),
    "colours": (lambda v: header(v, 70, [128, 24], "<i2"), "scan-type-unsupported"),
    "affine of NaN": (lambda v: header(v, 280, [np.nan], "<f4"), "scan-header-invalid"),
    "no NIfTI": (lambda v: changed(v, "rest", b"\x89PNG" + bytes(5000)), "scan-unreadable"),
    "nothing": (lambda v: changed(v, "rest", b""), "scan-truncated"),
    "not in MNI space": (
        lambda v: {**v, "rest": ("sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz", v["rest"][1])},
        "scan-not-mni",
    ),
    "circuit outside": (lambda v: header(v, 292, [400.0], "<f4"), "circuit-not-covered"),
    "rows missing": (
        lambda v: changed(v, "rest_confounds", b"".join(v["rest_confounds"][1].splitlines(True)[:-3])),
        "confounds-row-mismatch",
    ),
    "no table": (lambda v: changed(v, "rest_confounds", b"\0\1\2"), "table-invalid"),
    "events too late": (
        lambda v: changed(v, "faces_events", b"onset\tduration\ttrial_type\n1\t5\tfaces\n9000\t5\tshapes\n"),
        "events-beyond-run",
    ),
    "no onsets": (lambda v: changed(v, "faces_events", b"start\ttrial_type\n1\tfaces\n"), "table-column-missing"),
    "other events": (
        lambda v: changed(v, "faces_events", b"onset\tduration\ttrial_type\n1\t5\tapples\n"),
        "events-condition-missing",
    ),
    "milliseconds": (
        lambda v: changed(v, "rest_sidecar", b'{"RepetitionTime": 2000}'),
        "repetition-time-invalid",
    ),
    "unknown part": (lambda v: {**v, "resting": ("x", b"1")}, "part-unknown"),
    "events of rest": (lambda v: {**v, "rest_events": ("x", b"1")}, "part-unknown"),
    "no scan": (lambda v: {"covariates": ("c", b"{}")}, "part-missing"),
    "table without its scan": (
        lambda v: {**{k: p for k, p in v.items() if k.startswith("faces")}, "rest_confounds": v["rest_confounds"]},
        "part-missing",
    ),
    "huge table": (lambda v: changed(v, "rest_confounds", b"x" * 300_000), "part-too-large"),
    "covariates no JSON": (lambda v: {**v, "covariates": ("c", b"{age: 3")}, "json-invalid"),
    "covariates a list": (lambda v: {**v, "covariates": ("c", b"[1]")}, "request-invalid"),
    "covariate NaN": (lambda v: {**v, "covariates": ("c", b'{"caps5_total_baseline": NaN}')}, "value-out-of-range"),
    "covariate infinite": (
        lambda v: {**v, "covariates": ("c", b'{"caps5_total_baseline": 1e999}')},
        "value-out-of-range",
    ),
    "covariate unknown": (lambda v: {**v, "covariates": ("c", b'{"shoe_size": 43}')}, "table-invalid"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_read_is_a_named_problem(send: Send, visit: Parts, name: str) -> None:
    damage, code = DAMAGE[name]
    reply = send(damage(visit))
    found = problem(reply)
    assert found["code"] == code
    assert 400 <= reply.status_code < 500
    assert found["where"] or code == "part-missing"


def test_a_wrong_covariate_is_named_by_part_and_name_only(send: Send, visit: Parts) -> None:
    for content, place in ((b'{"site": {}}', "part covariates, site"), (b"[1]", "part covariates")):
        assert problem(send({**visit, "covariates": ("c", content)}))["where"] == place


def test_a_repeated_part_is_refused(client: httpx.Client, visit: Parts) -> None:
    parts = [("rest", visit["rest"]), ("rest", visit["rest"])]
    assert problem(client.post("/v1/scans", files=parts))["code"] == "part-repeated"


def test_another_content_type_is_refused(client: httpx.Client) -> None:
    reply = client.post("/v1/scans", json={"rest": 1})
    assert reply.status_code == 415
    assert problem(reply)["code"] == "content-type-unsupported"


def test_much_motion_is_an_answer_with_reasons_not_an_error(
    send: Send, visit: Parts, make_moving: Callable[[float], bytes]
) -> None:
    moving = changed(changed(visit, "rest_confounds", make_moving(3.0)), "faces_confounds", make_moving(3.0))
    answer = json.loads(answer_in(send(moving)))
    assert answer["status"] == "refused"
    assert answer["reasons"]
    assert "arms" not in answer


# Opening a file for writing is an audited event; a hook cannot be removed, so it only listens while a list is set.
_opened_for_writing: list[list[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened_for_writing:
        path, mode, flags = arguments
        if (mode and set(str(mode)) & set("wax+")) or (isinstance(flags, int) and flags & 3):
            _opened_for_writing[0].append(str(path))


def test_a_scan_never_touches_the_disk(send: Send, visit: Parts, tmp_path: Path) -> None:
    send(visit)  # whatever is compiled or cached at first use is done
    sys.addaudithook(_hear)
    _opened_for_writing.append([])
    try:
        assert send(visit).status_code == 200
        assert send(DAMAGE["gzip cut off"][0](visit)).status_code == 422
        (tmp_path / "heard").write_bytes(b"")
    finally:
        (opened,) = _opened_for_writing
        _opened_for_writing.clear()
    # nilearn reads confounds from files only; they are gone by now, and the scan was not among them.
    others = [Path(path) for path in opened if "desc-confounds" not in path and path != os.devnull]
    assert others == [tmp_path / "heard"], "only the test's own file, which proves that the hook hears"
    assert not [path for path in opened if "desc-confounds" in path and Path(path).exists()]


def raw_request(url: str, *, length: int) -> tuple[socket.socket, bytes]:
    """Open a connection and send the head of an upload, up to the first byte of the rest scan."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    part = b'--line\r\nContent-Disposition: form-data; name="rest"; filename="bold.nii.gz"\r\n\r\n'
    head = f"POST /v1/scans HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=line\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + part)
    return connection, part


def test_a_damaged_scan_is_refused_before_it_has_all_arrived(service: Any) -> None:
    connection, _ = raw_request(service.url, length=10**9)
    with connection:
        for _ in range(20):
            connection.sendall(bytes(100_000))  # far from the billion bytes that were announced
        reply = b""
        while not reply.endswith(b"}"):
            received = connection.recv(65_536)
            assert received, "the connection was closed without an answer"
            reply += received
    assert b" 422 " in reply.split(b"\r\n", 1)[0]
    assert b"scan-unreadable" in reply


def test_a_cancelled_upload_leaves_nothing_and_disturbs_nobody(
    service: Any, send: Send, visit: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        connection, _ = raw_request(service.url, length=len(visit["rest"][1]) + 1000)
        connection.sendall(visit["rest"][1][:3_000_000])
        connection.close()
        time.sleep(0.3)  # let the service notice
        assert send(visit).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_body_over_the_limit_is_refused_as_a_problem(limited_url: str) -> None:
    with httpx.Client(base_url=limited_url, verify=False, trust_env=False) as client:
        declared = client.post("/v1/scans", files={"rest": ("x.nii", bytes(200_000))})
        chunks = iter([b'--line\r\nContent-Disposition: form-data; name="covariates"\r\n\r\n', *[b"x" * 30_000] * 5])
        headers = {"Content-Type": "multipart/form-data; boundary=line"}
        undeclared = client.post("/v1/scans", content=chunks, headers=headers)
    for reply in (declared, undeclared):
        assert reply.status_code == 413
        assert problem(reply)["code"] in ("body-too-large", "part-too-large")
    assert declared.json()["code"] == "body-too-large"


def test_nothing_about_the_request_is_logged(send: Send, visit: Parts, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        # A value that no request id or duration holds by chance.
        send(visit, covariates=json.dumps({**COVARIATES, "caps5_total_baseline": 43.21875}))
        send(DAMAGE["gzip cut off"][0](visit))
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("serving", "predictor"))
    )
    assert "sub-01" not in logged
    assert "43.21875" not in logged
