"""Requests that cost their sender nothing: refused early, by a named problem, whatever they promise.

`python -m pytest tests/robustness/test_bombs.py -s`; KRP_ROBUST=long waits for a slow sender as long as the service's
defaults do. Seconds are printed beside what is asked.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from isal import isal_zlib

from predictor.console import emit

FILE_NAME = "x_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
GIBIBYTE = 2**30
BOMB_BYTES, BOMB_COMPRESSED_BYTES = 4 * GIBIBYTE, 18_000_000
MAX_JSON_BYTES, MAX_UPLOAD_BYTES = 100_000, 2_000_000
SLOW = ("head", "body")
ASKED_S, ASKED_SLOW_S, ASKED_MB = 1.0, 30.0, 300.0


@pytest.fixture(scope="module")
def bomb(mutations: ModuleType) -> bytes:
    """Return 4 GiB of zeros behind an image that promises all of them, in 18 MB of gzip."""
    volume_bytes = 300 * 300 * 240 * 2
    head = bytearray(mutations.sound_scan()[:352])
    head[40:50] = struct.pack("<5h", 4, 300, 300, 240, BOMB_BYTES // volume_bytes)
    content = packed_with_zeros(bytes(head))
    # Deflate shrinks zeros further than 18 MB; the rest is members that hold nothing.
    empty = gzip.compress(b"", 1)
    return content + empty * ((BOMB_COMPRESSED_BYTES - len(content)) // len(empty))


def packed_with_zeros(head: bytes) -> bytes:
    """Return a gzip member of a head and then 4 GiB of zeros.

    Between full flushes nothing is remembered, so that one compressed block of zeros can stand for all of them.
    """
    zeros, n_blocks = bytes(16 * 2**20), BOMB_BYTES // (16 * 2**20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin, block = (deflate.compress(part) + deflate.flush(zlib.Z_FULL_FLUSH) for part in (head, zeros))
    checksum = isal_zlib.crc32(head)
    for _ in range(n_blocks):
        checksum = isal_zlib.crc32(zeros, checksum)
    trailer = struct.pack("<II", checksum, (len(head) + BOMB_BYTES) % 2**32)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + begin + n_blocks * block + deflate.flush() + trailer


@pytest.fixture(scope="module")
def service(bundle_dir: Path, run_service: Callable[..., Any]) -> Iterator[Any]:
    """Return a service as it is by default."""
    with run_service("--bundle", bundle_dir) as running:
        yield running


@pytest.fixture(scope="module")
def limited_service(bundle_dir: Path, run_service: Callable[..., Any]) -> Iterator[Any]:
    """Return a service that takes small bodies."""
    limits = {"max_json_bytes": MAX_JSON_BYTES, "max_upload_bytes": MAX_UPLOAD_BYTES}
    with run_service("--bundle", bundle_dir, **limits) as running:
        yield running


def refused(service: Any, what: str, send: Callable[[httpx.Client], httpx.Response], measure_memory: Any) -> str:
    """Send something, print how long the refusal took, and return its code."""
    with service.client() as client, measure_memory(service.process.pid) as peak_mb:
        client.get("/health/live")
        begin = time.perf_counter()
        reply = send(client)
        seconds = time.perf_counter() - begin
        emit(f"\n{what}: {reply.status_code} {reply.json()['code']} after {seconds:.2f} s (asked {ASKED_S:g})")
        assert client.get("/health/ready").status_code == 200
        assert peak_mb() <= ASKED_MB
    assert 400 <= reply.status_code < 500
    return str(reply.json()["code"])


def test_four_gibibytes_from_18_megabytes_that_the_header_promises(
    service: Any, bomb: bytes, measure_memory: Any
) -> None:
    assert len(bomb) == pytest.approx(BOMB_COMPRESSED_BYTES, rel=0.01)
    code = refused(service, "4 GiB from 18 MB, promised", lambda client: upload(client, bomb), measure_memory)
    assert code == "scan-too-large"


def test_four_gibibytes_behind_the_last_volume(
    service: Any, bomb: bytes, mutations: ModuleType, measure_memory: Any
) -> None:
    content = gzip.compress(mutations.sound_scan(), 1) + bomb
    code = refused(
        service, "4 GiB from 18 MB, behind the image", lambda client: upload(client, content), measure_memory
    )
    assert code == "scan-header-invalid"


def test_a_header_that_declares_16_gibibytes(service: Any, mutations: ModuleType, measure_memory: Any) -> None:
    head = bytearray(mutations.sound_scan()[:352])
    head[40:50] = struct.pack("<5h", 4, 256, 256, 256, 16 * GIBIBYTE // (2 * 256**3))
    code = refused(
        service, "a header of 16 GiB", lambda client: upload(client, bytes(head) + bytes(1_000)), measure_memory
    )
    assert code == "scan-too-large"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('name="p%d"; filename="x"', "part-unknown"),
        ('name="p%d"; filename=""', "part-unknown"),
        ('name="rest_confounds"; filename="%d"', "part-repeated"),
    ],
    ids=["unknown", "left empty", "repeated"],
)
def test_ten_thousand_parts(head: str, expected: str, service: Any, measure_memory: Any) -> None:
    content = b"" if 'filename=""' in head else b"1"
    parts = [
        f"--line\r\nContent-Disposition: form-data; {head % number}\r\n\r\n".encode() + content + b"\r\n"
        for number in range(10_000)
    ]
    body, kind = b"".join(parts) + b"--line--\r\n", {"Content-Type": "multipart/form-data; boundary=line"}

    def send(client: httpx.Client) -> httpx.Response:
        return client.post("/v1/scans", content=body, headers=kind)

    assert refused(service, f"10,000 parts, {expected}", send, measure_memory) == expected


@pytest.mark.parametrize(
    ("address", "kind", "limit"),
    [
        ("/v1/predictions", "application/json", MAX_JSON_BYTES),
        ("/v2/models/ketamine-response/infer", "application/json", MAX_JSON_BYTES),
        ("/v1/scans", "multipart/form-data; boundary=line", MAX_UPLOAD_BYTES),
        ("/sign-in", "application/x-www-form-urlencoded", 4_000),
    ],
)
def test_twenty_times_the_limit_in_chunks_without_a_length(
    address: str, kind: str, limit: int, limited_service: Any, measure_memory: Any
) -> None:
    head = b'--line\r\nContent-Disposition: form-data; name="rest_confounds"; filename="x"\r\n\r\n'
    chunk = b" " * max(1_000, limit // 50)

    def chunks() -> Iterator[bytes]:
        yield head if "multipart" in kind else b" "
        for _ in range(20 * limit // len(chunk)):
            yield chunk

    def send(client: httpx.Client) -> httpx.Response:
        return client.post(address, content=chunks(), headers={"Content-Type": kind, "Accept": "application/json"})

    assert refused(limited_service, f"20 times the limit of {address}", send, measure_memory) == "body-too-large"


def test_who_sends_a_byte_now_and_then_is_let_go(
    bundle_dir: Path, run_service: Callable[..., Any], run_long: bool
) -> None:
    patience = {} if run_long else {"upload_idle_s": 2}
    with run_service("--bundle", bundle_dir, **patience) as service, ThreadPoolExecutor() as threads:
        replies = dict(zip(SLOW, threads.map(lambda where: sent_slowly(service.url, where), SLOW), strict=True))
    for where, (reply, seconds) in replies.items():
        emit(f"\na slow {where}: {reply[:20]!r} after {seconds:.1f} s (asked {ASKED_SLOW_S:g})")
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["code"] == f"{where}-idle"


def sent_slowly(url: str, where: str) -> tuple[bytes, float]:
    """Send the head or the body of a request byte by byte; returns the reply and the seconds until it came."""
    sent = b"POST /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    sent += b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n" if where == "body" else b""
    host, port = url.removeprefix("http://").split(":")
    begin = time.perf_counter()
    reply = b""
    with socket.create_connection((host, int(port)), timeout=0.5) as connection:
        connection.sendall(sent)
        while time.perf_counter() - begin < 4 * ASKED_SLOW_S and not reply:
            try:
                reply = connection.recv(65_536)
            except TimeoutError:
                connection.sendall(b" " if where == "body" else b"X: 1\r\n")
        seconds = time.perf_counter() - begin
        # Head and body of the reply may come one after the other.
        while not reply.endswith(b"}") and (more := connection.recv(65_536)):
            reply += more
    return reply, seconds


def upload(client: httpx.Client, content: bytes) -> httpx.Response:
    """Send a resting run."""
    return client.post("/v1/scans", files={"rest": (FILE_NAME, content)})
