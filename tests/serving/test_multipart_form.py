from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from predictor.errors import (
    PartRepeatedError,
    PartTooLargeError,
    PartUnknownError,
    PredictorError,
    ScanCorruptError,
    UploadTruncatedError,
)
from serving.multipart_form import BATCH_BYTES, MAX_BATCH_BYTES, MultipartForm, PartHead, SmallPart, feed_in_thread

CONTENT_TYPE = "multipart/form-data; boundary=line"
TABLE = b"\r\n--lin\r\n\r--line almost a boundary\r\n"


def body(*parts: tuple[str, bytes], end: bytes = b"--line--\r\n") -> bytes:
    heads = [f"--line\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() for name, _ in parts]
    return b"".join(head + content + b"\r\n" for head, (_, content) in zip(heads, parts, strict=True)) + end


def read(content: bytes, *, step: int = 10**9, content_type: str = CONTENT_TYPE) -> dict[str, bytes]:
    parts: dict[str, SmallPart] = {}

    def open_part(head: PartHead) -> SmallPart:
        if head.name == "unknown":
            raise PartUnknownError("no such part.")
        parts[head.name] = SmallPart(100)
        return parts[head.name]

    form = MultipartForm(content_type, open_part)
    for start in range(0, len(content), step):
        form.feed(content[start : start + step])
    form.finish()
    return {name: bytes(part.content) for name, part in parts.items()}


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10**6])
def test_parts_are_the_same_however_the_bytes_are_cut(step: int) -> None:
    content = body(('name="a"; filename="x.tsv"', TABLE), ('name="b"', b""), ('name="c"', b"\r\n"))
    assert read(content, step=step) == {"a": TABLE, "b": b"", "c": b"\r\n"}


def test_a_file_input_left_empty_counts_as_not_sent() -> None:
    content = body(('name="a"; filename=""', b""), ('name="a"; filename="x"', b"1"))
    assert read(content) == {"a": b"1"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (body(('name="a"', b"1"), ('name="a"', b"2")), PartRepeatedError),
        (body(('name="unknown"', b"1")), PartUnknownError),
        (body(('name="a"', b"1" * 101)), PartTooLargeError),
        (body(('filename="x"', b"1")), UploadTruncatedError),
        (body(('name="a"', b"1"), end=b""), UploadTruncatedError),
        (body(('name="a"', b"1"), end=b"")[:30], UploadTruncatedError),
        (b"", UploadTruncatedError),
        (b"no form at all", UploadTruncatedError),
        (b"--line\r\n" + b"x" * 100_000, UploadTruncatedError),
    ],
    ids=["repeated", "unknown", "large", "no-name", "no-end", "cut", "empty", "no-form", "endless-header"],
)
@pytest.mark.parametrize("step", [1000, 5])
def test_a_wrong_form_is_a_named_error(content: bytes, error: type[PredictorError], step: int) -> None:
    with pytest.raises(error):
        read(content, step=step)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 5000}", ""])
def test_a_header_without_usable_boundary_is_a_named_error(content_type: str) -> None:
    with pytest.raises(UploadTruncatedError) as caught:
        read(body(('name="a"', b"1")), content_type=content_type)
    assert caught.value.where == "header Content-Type"


def test_errors_name_the_part_but_neither_its_file_nor_control_characters() -> None:
    with pytest.raises(PartRepeatedError) as caught:
        read(body(('name="a\x07b"; filename="sub-secret.tsv"', b"1"), ('name="a\x07b"', b"2")))
    assert caught.value.where == "part a?b"
    assert "secret" not in str(caught.value)


def test_a_failure_surfaces_while_the_upload_still_runs() -> None:
    fed: list[int] = []

    def feed(chunk: bytes) -> None:
        fed.append(len(chunk))
        raise ScanCorruptError("damaged.")

    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * BATCH_BYTES:
            sent += BATCH_BYTES
            yield b"x" * BATCH_BYTES
            await asyncio.sleep(0.01)

    with pytest.raises(ScanCorruptError):
        asyncio.run(feed_in_thread(feed, endless()))
    assert len(fed) == 1
    assert sent < 10 * BATCH_BYTES


def test_a_failure_surfaces_while_the_client_is_silent() -> None:
    def feed(chunk: bytes) -> None:
        raise ScanCorruptError("damaged.")

    async def silent() -> AsyncIterator[bytes]:
        yield b"x" * BATCH_BYTES
        await asyncio.sleep(3_600)

    with pytest.raises(ScanCorruptError):
        asyncio.run(asyncio.wait_for(feed_in_thread(feed, silent()), timeout=30))


@pytest.mark.parametrize(("pause_s", "limit"), [(0.0, MAX_BATCH_BYTES), (0.01, BATCH_BYTES)])
def test_a_batch_is_small_while_the_parser_is_idle_and_bounded_while_it_is_busy(pause_s: float, limit: int) -> None:
    fed: list[int] = []

    def feed(chunk: bytes) -> None:
        fed.append(len(chunk))
        time.sleep(0.02 if not pause_s else 0)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000
            await asyncio.sleep(pause_s)

    asyncio.run(feed_in_thread(feed, stream()))
    assert sum(fed) == 4_000_000
    assert BATCH_BYTES <= max(fed) < limit + 100_000
