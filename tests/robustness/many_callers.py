"""So many callers at once, each asking again as soon as it was answered: how long those wait who are let in.

`python tests/robustness/many_callers.py PORT CALLERS SECONDS REQUEST` prints one line of JSON: p50 and p99 of accepted
requests in milliseconds, and how many answers there were by status. REQUEST is a file with one whole HTTP request. Who
is turned away comes again after the time that Retry-After says. One thread over many sockets, so that hundreds of
callers cost the service's machine little more than their requests.
"""

from __future__ import annotations

import heapq
import json
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

RECEIVED_AT_ONCE = 1 << 18
COMES_AGAIN_S = 1.0


@dataclass(eq=False)
class Caller:
    """One caller with one request under way."""

    connection: socket.socket | None = None
    received: bytes = b""
    begun_s: float = 0.0


@dataclass
class Crowd:
    """All callers, and what they were told."""

    port: int
    request: bytes
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    waits_s: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    later: list[tuple[float, int, Caller]] = field(default_factory=list)  # who comes again, and when
    n_asked: int = 0

    def ask(self, caller: Caller) -> None:
        """Send the request, over a new connection where the last one is closed."""
        if caller.connection is None:
            caller.connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            caller.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(caller.connection, selectors.EVENT_READ, caller)
        caller.received, caller.begun_s = b"", time.perf_counter()
        self.n_asked += 1
        caller.connection.sendall(self.request)

    def ask_later(self, caller: Caller, seconds: float) -> None:
        """Let a caller come again after a time."""
        heapq.heappush(self.later, (time.perf_counter() + seconds, self.n_asked + len(self.later), caller))

    def hear(self, caller: Caller) -> None:
        """Take what arrived; when the answer is whole, count it and go on."""
        assert caller.connection is not None
        try:
            content = caller.connection.recv(RECEIVED_AT_ONCE)
        except ConnectionResetError:
            content = b""
        caller.received += content
        head, found, body = caller.received.partition(b"\r\n\r\n")
        if not content:
            self._part(caller)
            if not found:
                self.statuses["cut"] += 1
                self.ask_later(caller, COMES_AGAIN_S)
            return
        if found and len(body) >= int(_header(head, b"content-length") or 0):
            self._count(caller, head)

    def _count(self, caller: Caller, head: bytes) -> None:
        status = head.split(b" ", 2)[1].decode()
        self.statuses[status] += 1
        if _header(head, b"connection") == b"close":
            self._part(caller)
        if status == "200":
            self.waits_s.append(time.perf_counter() - caller.begun_s)
            self.ask(caller)
        else:
            self.ask_later(caller, COMES_AGAIN_S)

    def _part(self, caller: Caller) -> None:
        if caller.connection is not None:
            self.selector.unregister(caller.connection)
            caller.connection.close()
            caller.connection = None

    def run(self, n_callers: int, *, lasts_s: float) -> None:
        """Keep everybody busy for a time."""
        ends = time.perf_counter() + lasts_s
        for number in range(n_callers):
            self.ask_later(Caller(), number * min(1.0, lasts_s / 4) / n_callers)  # they do not come in one moment
        while (now := time.perf_counter()) < ends:
            while self.later and self.later[0][0] <= now:
                self.ask(heapq.heappop(self.later)[2])
            until = self.later[0][0] if self.later else ends
            for key, _ in self.selector.select(timeout=max(0.0, min(until, ends) - now)):
                self.hear(key.data)


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def main() -> None:
    """Ask, and print what was met."""
    port, n_callers, lasts_s, request = sys.argv[1:5]
    crowd = Crowd(int(port), Path(request).read_bytes())
    crowd.run(int(n_callers), lasts_s=float(lasts_s))
    p50, p99 = np.quantile(crowd.waits_s, [0.5, 0.99]) * 1000 if crowd.waits_s else (float("nan"), float("nan"))
    per_s = len(crowd.waits_s) / float(lasts_s)
    told = {"p50_ms": p50, "p99_ms": p99, "per_s": per_s, "statuses": dict(crowd.statuses)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
