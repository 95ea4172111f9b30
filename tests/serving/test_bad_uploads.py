"""What is wrong with a request, fed through the whole service: each a named 4xx, and nothing is left behind."""

from __future__ import annotations

import gc
import gzip
import json
import math
import os
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest

from serving.model_store import ModelStore
from serving.operation.guarded_protocol import MAX_HEAD_BYTES, GuardedProtocol
from serving.settings import Settings

Parts = dict[str, tuple[str, bytes]]
NAME = "x_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
AFFINE = np.array([[-3.0, 0, 0, 78], [0, 3, 0, -112], [0, 0, 3, -70], [0, 0, 0, 1]])
SHAPE = (53, 63, 53)


def header_bytes(*, n_volumes: int = 5, version: int = 1, **fields: Any) -> bytes:
    """Write a valid header with nibabel, then overwrite fields without its checks."""
    header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness="<")
    header.set_data_shape((*SHAPE, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 4)
    header.set_xyzt_units("mm", "sec")
    header["magic"] = b"n+1" if version == 1 else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = 352 if version == 1 else 544
    header["pixdim"][4] = 2.0
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock)


def member(content: bytes, *, flags: int = 0, crc: int | None = None, length: int | None = None) -> bytes:
    """Write a gzip member, if asked with a false trailer."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = zlib.crc32(content) if crc is None else crc
    length = len(content) if length is None else length
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\xff"
    return head + deflate.compress(content) + deflate.flush() + struct.pack("<II", crc, length)


# The faults of tests/predictor/test_nifti_header.py, as scans that a client sends.
HEADER_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "three dimensions": ("scan-not-4d", {"dim": [3, 9, 9, 9, 0, 0, 0, 0]}),
    "one volume": ("scan-not-4d", {"dim": [4, 9, 9, 9, 1, 1, 1, 1]}),
    "two dimensions": ("scan-not-4d", {"dim": [2, 9, 9, 0, 0, 0, 0, 0]}),
    "five dimensions": ("scan-not-4d", {"dim": [5, 9, 9, 9, 5, 3, 1, 1]}),
    "vectors": ("scan-not-4d", {"dim": [5, 9, 9, 9, 1, 3, 1, 1]}),
    "negative length": ("scan-header-invalid", {"dim": [4, 9, -9, 9, 5, 1, 1, 1]}),
    "empty axis": ("scan-header-invalid", {"dim": [4, 9, 0, 9, 5, 1, 1, 1]}),
    "eight dimensions": ("scan-header-invalid", {"dim": [8, 9, 9, 9, 5, 1, 1, 1]}),
    "negative number of dimensions": ("scan-header-invalid", {"dim": [-4, 9, 9, 9, 5, 1, 1, 1]}),
    "huge volume": ("scan-too-large", {"dim": [4, 32767, 32767, 32767, 5, 1, 1, 1]}),
    "endless run": ("scan-too-large", {"dim": [4, 9, 9, 9, 32767, 1, 1, 1]}),
    "too much in all": ("scan-too-large", {"dim": [4, 280, 280, 280, 4000, 1, 1, 1]}),
    "complex": ("scan-type-unsupported", {"datatype": 32, "bitpix": 64}),
    "double complex": ("scan-type-unsupported", {"datatype": 1792, "bitpix": 128}),
    "RGB": ("scan-type-unsupported", {"datatype": 128, "bitpix": 24}),
    "RGBA": ("scan-type-unsupported", {"datatype": 2304, "bitpix": 32}),
    "quadruple precision": ("scan-type-unsupported", {"datatype": 1536, "bitpix": 128}),
    "bits": ("scan-type-unsupported", {"datatype": 1, "bitpix": 1}),
    "no type": ("scan-type-unsupported", {"datatype": 0}),
    "false bit width": ("scan-header-invalid", {"bitpix": 32}),
    "NaN affine": ("scan-header-invalid", {"srow_y": [0, np.nan, 0, 0]}),
    "infinite affine": ("scan-header-invalid", {"srow_y": [0, 3, 0, np.inf]}),
    "singular affine": ("scan-header-invalid", {"srow_y": [-3, 0, 0, 0]}),
    "NaN quaternion": ("scan-header-invalid", {"sform_code": 0, "qform_code": 4, "quatern_b": np.nan}),
    "long quaternion": ("scan-header-invalid", {"sform_code": 0, "qform_code": 4, "quatern_b": 1.05}),
    "no voxel size": ("scan-header-invalid", {"sform_code": 0, "qform_code": 4, "pixdim": [1] + [0] * 7}),
    "no orientation": ("scan-not-mni", {"sform_code": 0, "qform_code": 0}),
    "data inside the header": ("scan-header-invalid", {"vox_offset": 100}),
    "fraction of a byte": ("scan-header-invalid", {"vox_offset": 352.5}),
    "NaN offset": ("scan-header-invalid", {"vox_offset": np.nan}),
    "endless extension": ("scan-too-large", {"vox_offset": 2**30}),
    "NaN intercept": ("scan-header-invalid", {"scl_slope": 2.0, "scl_inter": np.nan}),
    "pair": ("scan-unreadable", {"magic": b"ni1"}),
    "Analyze": ("scan-unreadable", {"magic": b""}),
    "CIFTI": ("scan-not-4d", {"intent_code": 3002}),
}
VOLUMES = random.Random(0).randbytes(2000) * (2 * math.prod(SHAPE) * 5 // 2000 + 1)
VOLUMES = VOLUMES[: 2 * math.prod(SHAPE) * 5]
IMAGE = header_bytes() + bytes(4) + VOLUMES
# The faults of tests/predictor/test_gzip_members.py and test_nifti_stream.py.
STREAM_FAULTS: dict[str, tuple[str, bytes]] = {
    "false checksum": ("scan-corrupt", member(IMAGE, crc=1)),
    "false length": ("scan-corrupt", member(IMAGE, length=1)),
    "damaged deflate": ("scan-corrupt", member(IMAGE)[:10] + b"\xff" * 200),
    "tail": ("scan-corrupt", member(IMAGE) + b"tail"),
    "half a member behind": ("scan-corrupt", member(IMAGE) + b"\x1ftail"),
    "unknown method": ("scan-corrupt", b"\x1f\x8b\x07" + member(IMAGE)[3:]),
    "unknown flag": ("scan-corrupt", b"\x1f\x8b\x08\xe0" + member(IMAGE)[4:]),
    "false header checksum": ("scan-corrupt", b"\x1f\x8b\x08\x02" + bytes(6) + b"xx" + member(IMAGE)[10:]),
    "endless name": ("scan-corrupt", b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 200_000),
    "only a magic number": ("scan-truncated", b"\x1f\x8b"),
    "cut gzip": ("scan-truncated", member(IMAGE)[:-1000]),
    "cut image": ("scan-truncated", IMAGE[:-1000]),
    "cut header": ("scan-truncated", IMAGE[:300]),
    "sound gzip, too few volumes": ("scan-header-invalid", member(IMAGE[:-1000])),
    "a byte too many": ("scan-header-invalid", member(IMAGE + b"\x01")),
    "a volume too many": ("scan-header-invalid", IMAGE + bytes(2 * math.prod(SHAPE))),
    "bomb": ("scan-header-invalid", gzip.compress(IMAGE + bytes(60_000_000), 1)),
    "text": ("scan-unreadable", b"onset\tduration\ttrial_type\n" * 30),
    "archive": ("scan-unreadable", b"PK\x03\x04" + bytes(1000)),
    "page": ("scan-unreadable", b"<html>" + bytes(1000)),
    "empty": ("scan-truncated", b""),
}
SCANS = {name: (code, header_bytes(**fields) + bytes(4000)) for name, (code, fields) in HEADER_FAULTS.items()}
SCANS |= STREAM_FAULTS


def problem(reply: httpx.Response, status: int | None = None) -> dict[str, Any]:
    """Return the problem document, which quotes no file name and holds a remedy."""
    assert 400 <= reply.status_code < 500, reply.text[:300]
    assert status in (None, reply.status_code)
    assert reply.headers["content-type"] == "application/problem+json"
    assert "sub-77" not in reply.text
    document = dict(reply.json())
    assert document["remedy"]
    assert document["status"] == reply.status_code
    return document


@pytest.mark.parametrize("fault", SCANS)
def test_every_fault_of_the_reader_is_a_named_problem_over_http(fault: str, client: httpx.Client) -> None:
    code, content = SCANS[fault]
    parts = {"rest": (f"sub-77_{NAME}", content)}
    found = problem(client.post("/v1/scans", files=parts))
    assert found["code"] == code
    assert found["where"] == "part rest"


def form(*parts: tuple[str, bytes], boundary: str = "line") -> bytes:
    """Return a multipart body of parts whose heads are given."""
    pieces = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def named(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"; filename="x"'


FORMS: dict[str, tuple[str, int, bytes]] = {
    "ten thousand parts": ("part-unknown", 400, form(*[(named(f"p{k}"), b"1") for k in range(10_000)])),
    "ten thousand empty inputs": (
        "part-unknown",
        400,
        form(*[(f'Content-Disposition: form-data; name="p{k}"; filename=""', b"") for k in range(10_000)]),
    ),
    "empty inputs only": ("part-missing", 400, form(('Content-Disposition: form-data; name="rest"; filename=""', b""))),
    "one part twice": ("part-repeated", 400, form((named("covariates"), b"{}"), (named("covariates"), b"{}"))),
    "huge field": ("part-too-large", 413, form((named("covariates"), b" " * 100_000))),
    "part without name": ("upload-truncated", 400, form(("Content-Disposition: form-data", b"1"))),
    "part without disposition": ("upload-truncated", 400, form(("Content-Type: text/plain", b"1"))),
    "a thousand headers": (
        "upload-truncated",
        400,
        form(("\r\n".join(f"x-{k}: 1" for k in range(1000)) + "\r\n" + named("rest"), b"1")),
    ),
    "endless part header": ("upload-truncated", 400, form(("x: " + "a" * 200_000, b"1"))),
    "another boundary": ("upload-truncated", 400, form((named("rest"), b"1"), boundary="other")),
    "no closing boundary": ("upload-truncated", 400, form((named("covariates"), b"{}"))[:-10]),
    "nothing": ("upload-truncated", 400, b""),
    "deep covariates": ("json-invalid", 400, form((named("covariates"), b"[" * 60_000))),
    "a covariate twice": ("json-invalid", 400, form((named("covariates"), b'{"site": "A", "site": "B"}'))),
    "covariates in another charset": (
        "json-invalid",
        400,
        form((named("covariates"), '{"site": "Zürich"}'.encode("utf-16"))),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_wrong_form_is_a_named_problem(name: str, client: httpx.Client, visit: Parts) -> None:
    code, status, body = FORMS[name]
    if code == "json-invalid":  # covariates are read once there is a scan
        scan = [(named(part), content) for part, (_, content) in visit.items() if part == "rest"]
        scan = [(head.replace('"x"', f'"{NAME}"'), content) for head, content in scan]
        body = form(*scan)[: -len(b"--line--\r\n")] + body
    reply = client.post("/v1/scans", content=body, headers={"Content-Type": "multipart/form-data; boundary=line"})
    assert problem(reply, status)["code"] == code


JSON_TYPE = {"Content-Type": "application/json"}
ROW = {"features": {}, "covariates": {}}
BODIES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"rows=1", "json-invalid"),
    "empty": (b"", "json-invalid"),
    "cut": (b'{"rows": [', "json-invalid"),
    "deep": (b"[" * 100_000, "json-invalid"),
    "deep inside": (b'{"rows": [{"features": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}]}", "json-invalid"),
    "a list": (b"[]", "request-invalid"),
    "null": (b"null", "request-invalid"),
    "no rows": (b'{"rows": []}', "request-invalid"),
    "unknown member": (b'{"rows": [{"features": {}}], "model": "other"}', "request-invalid"),
    "rows twice": (b'{"rows": [], "rows": [{"features": {}}]}', "json-invalid"),
    "a feature twice": (b'{"rows": [{"features": {"FEATURE": 1, "FEATURE": 2}}]}', "json-invalid"),
    "a feature with a NUL": (b'{"rows": [{"features": {"FEATURE": 1, "FEATURE\\u0000": 2}}]}', "feature-unknown"),
    "NaN": (b'{"rows": [{"features": {"FEATURE": NaN}}]}', "value-out-of-range"),
    "infinity": (b'{"rows": [{"features": {"FEATURE": -Infinity}}]}', "value-out-of-range"),
    "beyond doubles": (b'{"rows": [{"features": {"FEATURE": 1e999}}]}', "value-out-of-range"),
    "a number of thousands of digits": (
        b'{"rows": [{"features": {"FEATURE": ' + b"9" * 10_000 + b"}}]}",
        "json-invalid",
    ),
    "text as number": (b'{"rows": [{"features": {"FEATURE": "0.3"}}]}', "request-invalid"),
    "truth as number": (b'{"rows": [{"features": {"FEATURE": true}}]}', "request-invalid"),
    "unknown feature": (b'{"rows": [{"features": {"shoe_size": 43}}]}', "feature-unknown"),
    "unknown covariate": (b'{"rows": [{"features": {}, "covariates": {"shoe_size": 43}}]}', "table-invalid"),
    "unknown level of a category": (b'{"rows": [{"features": {}, "covariates": {"sex": "x"}}]}', "table-invalid"),
    "half a character": (b'{"rows": [{"features": {"\xff": 1}}]}', "json-invalid"),
    "lone surrogate": (b'{"rows": [{"features": {"\\ud800": 1}}]}', "json-invalid"),
    "another charset": ('{"rows": [{"features": {}}]}'.encode("utf-16"), "json-invalid"),
    "compressed": (gzip.compress(b'{"rows": [{"features": {}}]}'), "json-invalid"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_json_body_is_a_named_problem(
    name: str, client: httpx.Client, make_features: Callable[[float], dict[str, float | None]]
) -> None:
    body, code = BODIES[name]
    feature = next(iter(make_features(0.0))).encode()
    reply = client.post("/v1/predictions", content=body.replace(b"FEATURE", feature), headers=JSON_TYPE)
    status = 400 if code in ("json-invalid", "request-invalid") else 422
    assert problem(reply, status)["code"] == code


@pytest.mark.parametrize("address", ["/v1/predictions", "/v1/scans"])
@pytest.mark.parametrize(
    "sent", ["text/plain", "application/xml", "", "application/json/x", "application/x-www-form-urlencoded"]
)
def test_another_content_type_is_named(address: str, sent: str, client: httpx.Client) -> None:
    reply = client.post(address, content=b"{}", headers={"Content-Type": sent} if sent else {})
    assert problem(reply, 415)["code"] == "content-type-unsupported"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize("address", ["/v1/predictions", "/v1/scans"])
def test_another_method_is_named(method: str, address: str, client: httpx.Client) -> None:
    reply = client.request(method, address)
    assert reply.status_code in (400, 405)
    assert reply.json()["code"] in ("method-not-allowed", "http-invalid")
    assert "sub-77" not in reply.text


def talk(url: str, *pieces: bytes, wait_s: float = 0.0) -> bytes:
    """Send raw bytes, with a pause between pieces, and return everything that comes back until the connection ends."""
    host, port = url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(wait_s)
            while chunk := connection.recv(65_536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def head(lines: str = "", *, request: str = "POST /v1/predictions HTTP/1.1", host: str = "127.0.0.1") -> bytes:
    return f"{request}\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n{lines}\r\n".encode()


RAW: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 400, "http-invalid"),
    "no version": (b"GET /\r\n\r\n", 400, "host-unknown"),
    "two lengths": (head("Content-Length: 2\r\nContent-Length: 3\r\n") + b"{}", 400, "http-invalid"),
    "length and chunks": (
        head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") + b"2\r\n{}\r\n0\r\n\r\n",
        400,
        "http-invalid",
    ),
    "length below nothing": (head("Content-Length: -1\r\n"), 400, "http-invalid"),
    "damaged chunk": (head("Transfer-Encoding: chunked\r\n") + b"zz\r\n{}", 400, "http-invalid"),
    "long header": (head(f"X-Long: {'a' * 2 * MAX_HEAD_BYTES}\r\nContent-Length: 0\r\n"), 431, "head-too-large"),
    "many headers": (
        head("".join(f"X-{k}: {k}\r\n" for k in range(6_000)) + "Content-Length: 0\r\n"),
        431,
        "head-too-large",
    ),
    "long address": (
        head(request=f"GET /{'a' * 2 * MAX_HEAD_BYTES} HTTP/1.1"),
        431,
        "head-too-large",
    ),
    "endless header": (head()[:-2] + b"X-Long: " + b"a" * 400_000, 431, "head-too-large"),
    "bad percent-encoding": (head(request="GET /v1/%zz%ff%00 HTTP/1.1"), 404, "not-found"),
    "climbing address": (head(request="GET /static/..%2f..%2fapp.py HTTP/1.1"), 404, "not-found"),
    "another host": (head("Content-Length: 0\r\n", host="evil.example"), 400, "host-unknown"),
    "old HTTP without host": (
        b"POST /v1/predictions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        400,
        "host-unknown",
    ),
    "old HTTP": (
        b"POST /v1/predictions HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}",
        400,
        "request-invalid",
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_hardly_http_is_a_named_problem(name: str, service: Any) -> None:
    sent, status, code = RAW[name]
    reply = talk(service.url, sent)
    assert reply.startswith(f"HTTP/1.1 {status} ".encode()), reply[:200]
    document = json.loads(reply.partition(b"\r\n\r\n")[2])
    assert document["code"] == code


@pytest.fixture(scope="module")
def impatient_url(
    store: ModelStore, serve: Callable[[Settings, ModelStore], AbstractContextManager[Any]]
) -> Iterator[str]:
    """Return the address of a service that waits for nobody longer than a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GuardedProtocol, "head_s", 0.4)
        patch.setattr(GuardedProtocol, "unread_s", 0.4)
        settings = Settings(refresh_s=0, upload_idle_s=0.4, max_json_bytes=10_000)
        with serve(settings, store) as running:
            yield running.url


SLOW: dict[str, tuple[tuple[bytes, ...], str]] = {
    "body that stops": ((head("Content-Length: 100\r\n") + b'{"rows"',), "body-idle"),
    "body that trickles": ((head("Content-Length: 100\r\n"), *[b" "] * 12), "body-idle"),
    "upload that stops": (
        (
            b"POST /v1/scans HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=line\r\n\r\n--line\r\n" + named("rest").encode(),
        ),
        "body-idle",
    ),
    "head that stops": ((b"POST /v1/predictions HTTP/1.1\r\nHost: 127",), "head-idle"),
    "head that trickles": ((b"GET / HTTP/1.1\r\n", *[b"X: 1\r\n"] * 12), "head-idle"),
}


@pytest.mark.parametrize("name", SLOW)
def test_who_is_too_slow_is_told_so_and_disconnected(name: str, impatient_url: str) -> None:
    pieces, code = SLOW[name]
    reply = talk(impatient_url, *pieces, wait_s=0.1 if len(pieces) > 1 else 0.0)
    if not reply:  # what came after the answer made the connection break before it could be read
        assert "trickles" in name
        return
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["code"] == code


def test_a_connection_that_says_nothing_is_closed_without_a_word(impatient_url: str) -> None:
    assert talk(impatient_url) == b""


def test_a_connection_goes_on_after_a_pause_between_requests(impatient_url: str) -> None:
    with httpx.Client(base_url=impatient_url, verify=False, trust_env=False) as client:
        assert client.get("/health/live").status_code == 200
        time.sleep(0.8)
        assert client.get("/health/live").status_code == 200


def test_an_answer_that_nobody_reads_is_given_up(impatient_url: str) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(impatient_url.rpartition(":")[2])))
        connection.settimeout(20)
        connection.sendall(b"GET /static/plotly.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        first = connection.recv(4096)
        length = int(first.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert length > 4_000_000  # more than the system holds for a reader
        time.sleep(1.5)
        assert n_bytes_until_end(connection) < length


def n_bytes_until_end(connection: socket.socket) -> int:
    """Return how much still comes before the other side ends, orderly or not."""
    n_bytes = 0
    with suppress(ConnectionResetError):
        while content := connection.recv(65_536):
            n_bytes += len(content)
    return n_bytes


def test_chunks_without_a_length_are_refused_beyond_the_limit(impatient_url: str) -> None:
    with httpx.Client(base_url=impatient_url, verify=False, trust_env=False) as client:
        reply = client.post("/v1/predictions", content=iter([b" " * 4_000] * 4), headers=JSON_TYPE)
    assert problem(reply, 413)["code"] == "body-too-large"


def open_files() -> set[str]:
    """Return what this process holds open besides sockets and pipes."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    found = {os.readlink(link) for link in links if os.path.islink(link)}
    return {path for path in found if path.startswith("/") and not path.startswith(("/dev", "/proc"))}


def test_bad_uploads_leave_no_file_no_thread_and_no_open_file(
    client: httpx.Client, visit: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = {**visit, "rest": (NAME, visit["rest"][1][:-4000])}
    client.post("/v1/scans", files=damaged)  # whatever is opened or started once, is there now
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gc.collect()
    files, threads = open_files(), threading.active_count()
    for _ in range(8):
        assert client.post("/v1/scans", files=damaged).status_code == 422
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert open_files() <= files
    # The event loop's pool may have grown to its size; a thread per upload would be 8 and more.
    assert threading.active_count() <= threads + 4
