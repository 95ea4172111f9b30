"""A multipart body, taken apart as it arrives; what becomes of a part is decided by whoever opens it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from predictor.errors import (
    PartRepeatedError,
    PartTooLargeError,
    PartUnknownError,
    PredictorError,
    UploadTruncatedError,
)
from serving.event_loop import compute_in_thread

# Bytes handed to the worker thread at once: the first number while it has nothing else to do, up to the second while it
# is busy. Each hop costs a tenth of a millisecond, more where threads wait for the interpreter; a megabyte of a scan is
# inflated in 5 ms, so the last batch does not keep the answer waiting.
BATCH_BYTES = 256 * 1024
MAX_BATCH_BYTES = 1024 * 1024
# More than a form can use, runs and tables of every kind and number; parts cost time even where they are empty.
MAX_PARTS = 1_000


class PartSink(Protocol):
    """Takes the bytes of one part."""

    def feed(self, data: memoryview, /) -> object:
        """Take the next bytes."""

    def finish(self) -> object:
        """Learn that the part is complete."""


@dataclass(frozen=True, slots=True)
class PartHead:
    """How a part is called; the file name may hold a participant's label, so it is never kept or logged."""

    name: str
    file_name: str | None

    @property
    def where(self) -> str:
        """The part's place as errors name it."""
        return f"part {self.printable}"

    @property
    def printable(self) -> str:
        """Name as it may be shown: short, and without control characters."""
        return "".join(letter if letter.isprintable() else "?" for letter in self.name[:40])


class SmallPart:
    """A part held in memory, up to a size."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.content = bytearray()

    def feed(self, data: memoryview) -> None:
        """Take the next bytes.

        Raises
        ------
        PartTooLargeError
            If the part grows past its size.
        """
        if len(self.content) + len(data) > self.max_bytes:
            raise PartTooLargeError(f"expected at most {self.max_bytes} bytes.")
        self.content += data

    def finish(self) -> None:
        """Nothing is left to do."""


class MultipartForm:
    """Push parser of one body: `feed` bytes as they arrive, `finish` after the last.

    Parameters
    ----------
    content_type
        The request's Content-Type header with its boundary.
    open_part
        Called with the head of each part; returns what takes its bytes, or raises. A file input that was left empty in
        a browser (no name, no bytes) counts as not sent.
    """

    def __init__(self, content_type: str, open_part: Callable[[PartHead], PartSink]) -> None:
        self._open_part = open_part
        self._seen: set[str] = set()
        self._n_parts = 0
        self._head: PartHead | None = None
        self._sink: PartSink | None = None
        self._header = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._is_complete = False
        self._parser = self._new_parser(content_type)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises
        ------
        UploadTruncatedError
            If the body is no multipart form.
        PartRepeatedError
            If a part comes twice.
        PartUnknownError
            If there are more than `MAX_PARTS` of them.
        PredictorError
            Whatever the part's own reader finds wrong, as soon as its bytes show it.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise UploadTruncatedError("the body is not a well-formed multipart form.") from error
        except PredictorError as error:
            error.located(self._head.where if self._head else "")
            raise  # not `from error`: an exception that is its own cause keeps the whole upload in memory

    def finish(self) -> None:
        """Make sure that the form was complete.

        Raises
        ------
        UploadTruncatedError
            If the closing boundary is missing.
        """
        if not self._is_complete:
            raise UploadTruncatedError("the form has no closing boundary, so its last part may be cut off.")

    def _new_parser(self, content_type: str) -> MultipartParser:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise UploadTruncatedError("the Content-Type header names no boundary.", where="header Content-Type")
        # The parser must not keep the form alive: a scan that was given up would stay in memory until the next search
        # for garbage.
        form = weakref.proxy(self)
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": lambda: form._begin_part(),
                    "on_header_field": lambda data, start, end: form._take_header_name(data, start, end),
                    "on_header_value": lambda data, start, end: form._take_header_value(data, start, end),
                    "on_header_end": lambda: form._end_header(),
                    "on_headers_finished": lambda: form._end_headers(),
                    "on_part_data": lambda data, start, end: form._take_data(data, start, end),
                    "on_part_end": lambda: form._end_part(),
                    "on_end": lambda: form._end_form(),
                },
            )
        except FormParserError as error:
            raise UploadTruncatedError("the boundary is too long.", where="header Content-Type") from error

    # What the parser calls, in this order for each part.

    def _begin_part(self) -> None:
        self._head = self._sink = None
        self._headers = {}
        self._n_parts += 1
        if self._n_parts > MAX_PARTS:
            raise PartUnknownError(f"expected at most {MAX_PARTS} parts, found more.")

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise UploadTruncatedError("a part has no name in its Content-Disposition header.")
        file_name = options.get(b"filename")
        self._head = PartHead(
            options[b"name"].decode("utf-8", "replace"),
            None if file_name is None else file_name.decode("utf-8", "replace"),
        )

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._opened().feed(memoryview(data)[start:end])

    def _end_part(self) -> None:
        is_left_empty = self._sink is None and self._head is not None and self._head.file_name == ""
        if not is_left_empty:
            self._opened().finish()

    def _end_form(self) -> None:
        self._is_complete = True

    def _opened(self) -> PartSink:
        assert self._head is not None, "the parser ends headers before it sends data"
        if self._sink is None:
            if self._head.name in self._seen:
                raise PartRepeatedError(f"the part {self._head.printable} is sent twice.")
            self._seen.add(self._head.name)
            self._sink = self._open_part(self._head)
        return self._sink


async def feed_in_thread(feed: Callable[[bytes], None], stream: AsyncIterator[bytes]) -> None:
    """Feed a stream to a push parser in a worker thread, one batch behind: reading goes on while a batch is parsed.

    At most two batches are in memory. Whatever `feed` raises comes out here at once, also while the client is silent;
    when the client goes away, the batch at work is awaited, so that nothing runs on unattended.
    """
    batch: list[bytes] = []
    n_bytes = 0
    work: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(None) as reading:
            async for chunk in stream:
                batch.append(chunk)
                n_bytes += len(chunk)
                is_idle = work is None or work.done()
                if n_bytes >= (BATCH_BYTES if is_idle else MAX_BATCH_BYTES):
                    if work is not None:
                        await work
                    work = asyncio.create_task(compute_in_thread(_feed_joined, feed, batch))
                    work.add_done_callback(lambda done: _interrupt(reading, done))
                    batch, n_bytes = [], 0
        if work is not None:
            await work
        await compute_in_thread(_feed_joined, feed, batch)
    except TimeoutError:
        assert work is not None, "only a failed batch ends the reading"
        await work
        raise
    finally:
        if work is not None and not work.done():
            await asyncio.wait([work])
            work.exception()


def _interrupt(reading: asyncio.Timeout, work: asyncio.Task[None]) -> None:
    """Stop waiting for more bytes once a batch has failed."""
    if not work.cancelled() and work.exception() is not None:
        with suppress(RuntimeError):  # the last byte has come: nobody waits any more
            reading.reschedule(0.0)


def _feed_joined(feed: Callable[[bytes], None], batch: list[bytes]) -> None:
    """Join in the worker thread: the copy of a megabyte would keep other requests waiting."""
    chunks = b"".join(batch)
    batch.clear()
    feed(chunks)
