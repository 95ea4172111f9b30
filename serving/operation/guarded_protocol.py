"""HTTP/1.1 as uvicorn speaks it, with limits on a request's head, which uvicorn does not have with httptools."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from predictor.errors import HeadIdleError, HeadTooLargeError, HttpInvalidError, PredictorError
from serving.error_handlers import PROBLEM_TYPE, problem_document

# The head of a request must arrive within this time, counted from the connection or from its own first byte.
HEAD_S: Final = 10.0
# Address and headers together; browsers with many cookies come to 8 KiB.
MAX_HEAD_BYTES: Final = 32 * 1024
# A body whose request is answered already is let go by for so long, so that the client can read the answer.
LINGER_S: Final = 60.0
# An answer of which nobody takes anything for so long is given up; it would count as under way for ever.
UNREAD_S: Final = 60.0


class GuardedProtocol(HttpToolsProtocol):
    """Close connections whose head does not come, is huge, or is no HTTP, and those that nobody reads from.

    Pass it as `http=` to `uvicorn.Config`.

    Refusals are problem documents like everybody else's, but without the layers' headers: no layer has seen a request.
    """

    head_s = HEAD_S
    linger_s = LINGER_S
    unread_s = UNREAD_S

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._n_head_bytes = 0
        self._is_in_head = True
        self._is_in_body = False
        self._fault: PredictorError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._reading_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.head_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; a head that came whole, as nearly all do, costs nothing but a comparison."""
        was_in_head = self._is_in_head
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        self._n_head_bytes += len(data) if was_in_head else 0
        if self._n_head_bytes > MAX_HEAD_BYTES:
            self._fault = _too_large()
            self.send_400_response("")
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self._give_up)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_in_head, self._n_head_bytes = True, 1

    def on_headers_complete(self) -> None:
        """Check the size of the head before anything is done for it."""
        self._stop_waiting()
        self._is_in_head, self._is_in_body = False, True
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._fault = _too_large()
            raise ValueError("the head is too large")  # the parser turns it into its own error, and stops
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that nothing of this request is still to come."""
        super().on_message_complete()
        self._is_in_body = False
        self._stop_waiting()

    def on_response_complete(self) -> None:
        """Let the rest of an answered body go by, but not for ever."""
        super().on_response_complete()
        if self._is_in_body and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.linger_s, self.transport.close)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read what it asked for."""
        super().pause_writing()
        self._stop_waiting_for_reader()
        self._reading_deadline = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: the client read on."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what never became a request, by a problem document that says what was wrong."""
        error = self._fault or HttpInvalidError("expected an HTTP request, found other bytes.")
        document = problem_document(error)
        content = json.dumps(document).encode()
        head = f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[document["status"]] + head.encode() + content)
        self.transport.close()

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self._n_head_bytes:
            self.transport.close()  # not a byte was sent: nobody waits for an answer
            return
        self._fault = HeadIdleError(f"the head of the request did not arrive within {self.head_s:g} s.")
        self.send_400_response("")

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_waiting_for_reader(self) -> None:
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
            self._reading_deadline = None


def _too_large() -> PredictorError:
    return HeadTooLargeError(f"expected at most {MAX_HEAD_BYTES} bytes of address and headers, found more.")
