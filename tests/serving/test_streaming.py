"""A scan is reduced while it arrives: what is held, and for how long, does not depend on its length."""

from __future__ import annotations

import asyncio
import gc
import gzip
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import nibabel
import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import BodyIdleError, PartTooLargeError, PredictorError, ScanCorruptError
from predictor.scan.nifti_header import ScanLimits
from predictor.scan.task_description import load_task_description
from serving.multipart_form import MAX_BATCH_BYTES, feed_in_thread
from serving.operation.body_patience import MIN_BYTES, BodyPatience
from serving.scan_upload import MAX_LARGEST_TABLES, ScanUpload

SHAPE = (40, 48, 40)
AFFINE = np.array([[4.5, 0, 0, -88], [0, 4.5, 0, -124], [0, 0, 4.5, -76], [0, 0, 0, 1]])
VOLUME_BYTES = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2]
PART = b'--line\r\nContent-Disposition: form-data; name="rest"; filename="x_space-MNI152_bold.nii.gz"\r\n\r\n'


def scan(n_volumes: int) -> bytes:
    """Return a compressed series in which every voxel has its own noise."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((*SHAPE, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 4)
    header["magic"], header["vox_offset"] = b"n+1", 352
    rng = np.random.default_rng(0)
    volume = (1000 + 12 * rng.standard_normal(SHAPE)).astype("<i2")
    volumes = (np.roll(volume, shift, axis=0).tobytes(order="F") for shift in range(n_volumes))
    return gzip.compress(bytes(header.binaryblock) + bytes(4) + b"".join(volumes), 1)


def new_upload() -> ScanUpload:
    return ScanUpload(
        "multipart/form-data; boundary=line",
        circuit=load_circuit(),
        tasks=load_task_description(),
        limits=ScanLimits(),
        max_table_bytes=1_000_000,
    )


def peak_of_upload(content: bytes, *, piece: int = 65_536) -> int:
    """Return the peak of traced memory while a scan is uploaded, its own bytes left out."""
    upload = new_upload()

    async def stream() -> AsyncIterator[bytes]:
        yield PART
        for start in range(0, len(content), piece):
            yield content[start : start + piece]
        yield b"\r\n--line--\r\n"

    tracemalloc.start()
    try:
        asyncio.run(feed_in_thread(upload.feed, stream()))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_upload_holds_batches_and_a_volume_but_never_the_run() -> None:
    short, long = scan(60), scan(240)
    peak_of_upload(short)  # what is imported and cached at first use is there now
    short_peak, long_peak = peak_of_upload(short), peak_of_upload(long)
    kept_bytes = 180 * 2 * 4_000  # circuit and carpet voxels of the further volumes, generously
    assert 180 * VOLUME_BYTES > 25_000_000
    assert long_peak < short_peak + kept_bytes + 2 * MAX_BATCH_BYTES
    assert long_peak < 12_000_000


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100_000], ids=["cancelled", "damaged"])
def test_what_was_given_up_is_let_go_at_once(damage: bytes) -> None:
    upload = new_upload()
    upload.feed(PART + scan(20)[:400_000])
    gone = weakref.ref(upload)
    gc.collect()
    gc.disable()
    try:
        if damage:
            with suppress(ScanCorruptError):  # `pytest.raises` would keep the frames, and so the upload
                upload.feed(damage)
                raise AssertionError("the damage was not found")
        del upload
        assert gone() is None
    finally:
        gc.enable()


def test_many_tables_do_not_fill_the_memory() -> None:
    def table(number: int) -> bytes:
        head = f'--line\r\nContent-Disposition: form-data; name="rest_{number}_confounds"\r\n\r\n'
        return head.encode() + b"1" * 900_000 + b"\r\n"

    upload = new_upload()
    for number in range(MAX_LARGEST_TABLES):
        upload.feed(table(2 + number))
    with pytest.raises(PartTooLargeError, match="all tables together"):
        upload.feed(table(2 + MAX_LARGEST_TABLES))


def ask(messages: list[tuple[float, dict[str, Any]]], *, idle_s: float) -> int:
    """Return how many bytes a route reads from a body whose messages come after the given pauses."""
    waiting = iter(messages)
    n_read = 0

    async def receive() -> dict[str, Any]:
        pause_s, message = next(waiting)
        await asyncio.sleep(pause_s)
        return message

    async def route(scope: Any, receive: Any, send: Any) -> None:
        nonlocal n_read
        is_more = True
        while is_more:
            message = await receive()
            n_read += len(message["body"])
            is_more = message["more_body"]

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    async def run() -> None:
        scope = {"type": "http", "method": "POST"}
        await BodyPatience(route, idle_s=idle_s)(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(run())
    return n_read


def piece(n_bytes: int, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * n_bytes, "more_body": more}


def test_a_slow_but_steady_body_is_waited_for() -> None:
    messages = [*[(0.1, piece(MIN_BYTES))] * 6, (0.1, piece(1, more=False))]
    assert ask(messages, idle_s=0.4) == 6 * MIN_BYTES + 1


@pytest.mark.parametrize(
    "messages",
    [[(9.0, piece(1))], [(0.0, piece(10**6)), (9.0, piece(1))], [(0.1, piece(1))] * 90],
    ids=["nothing", "stops", "trickles"],
)
def test_a_body_that_stops_or_trickles_is_given_up(messages: list[tuple[float, dict[str, Any]]]) -> None:
    with pytest.raises(BodyIdleError) as caught:
        ask(messages, idle_s=0.3)
    assert isinstance(caught.value, PredictorError)
