"""What an operator watches, as Prometheus text: counts and times, never a name, a label of a person or a value."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# An answer for one row takes about a millisecond, a visit seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"  # whatever address was asked for, it must not become a label
DIGEST_LENGTH = len("sha256:") + 12


class ServiceMetrics:
    """The service's numbers, in a registry of its own.

    Children are kept by their labels: looking one up again costs a dictionary access instead of a lock and a check.
    Labels come from closed sets only (route templates, methods, codes), so the text cannot grow without end.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("krp_requests", "Answered requests.", "route", "method", "status")
        self._seconds = Histogram(
            "krp_request_seconds", "Time to the last byte of the answer.", ("route",), buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._answers = self._counter("krp_answers", "Answers that left, by their status.", "action", "status", "model")
        self._upload_bytes = self._counter("krp_upload_bytes", "Bytes of visits that were received.")
        self._overloads = self._counter("krp_overloads", "Requests turned away because of load or a stop.", "reason")
        self._bugs = self._counter("krp_bugs", "Requests that failed by a fault of ours.")
        self._group_size = Histogram(
            "krp_audit_group_size", "Audit entries per commit.", buckets=GROUP_SIZES, registry=self.registry
        )
        self._audit_lag = Histogram(
            "krp_audit_lag_seconds", "Time an entry waited for its commit.", buckets=SECONDS, registry=self.registry
        )
        self._purged = self._counter("krp_results_purged", "Kept results deleted because their time was over.")
        self._under_way = self._gauge("krp_requests_under_way", "Requests that are being answered.", "kind")
        self._model = self._gauge("krp_model_info", "1 for the model that answers.", "version", "digest", "state")
        self._refresh_failures = self._counter(
            "krp_model_refresh_failures", "Looks at the model source that failed.", "code"
        )
        self._known_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._known_answers: dict[tuple[str, str, str], Counter] = {}

    def count_request(self, *, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count an answered request by its route's template; None: no route took it."""
        labels = (route or NO_ROUTE, method if method in METHODS else "OTHER", status)
        children = self._known_requests.get(labels)
        if children is None:
            children = (self._requests.labels(*labels), self._seconds.labels(labels[0]))
            self._known_requests[labels] = children
        children[0].inc()
        children[1].observe(seconds)

    def count_answer(self, action: str, status: str, *, model_digest: str | None) -> None:
        """Count an answer: what was done, whether it is ok, flagged or refused, by which model."""
        labels = (action, status, short_digest(model_digest))
        child = self._known_answers.get(labels)
        if child is None:
            child = self._known_answers[labels] = self._answers.labels(*labels)
        child.inc()

    def count_upload(self, n_bytes: int) -> None:
        """Count the bytes of a received visit."""
        self._upload_bytes.inc(n_bytes)

    def count_overload(self, reason: str) -> None:
        """Count a request that was turned away: "requests", "uploads" or "stopping"."""
        self._overloads.labels(reason).inc()

    def count_bug(self) -> None:
        """Count a fault of ours."""
        self._bugs.inc()

    def count_audit_group(self, n_entries: int, *, lag_s: float) -> None:
        """Count a commit of the audit log: how many entries, and how long the oldest waited."""
        self._group_size.observe(n_entries)
        self._audit_lag.observe(lag_s)

    def count_purged(self, n_results: int) -> None:
        """Count results whose time was over."""
        self._purged.inc(n_results)

    def count_refresh_failure(self, code: str) -> None:
        """Count a look at the model source that failed, by the error's code."""
        self._refresh_failures.labels(code).inc()

    def show_model(self, *, version: str, digest: str | None, state: str) -> None:
        """Show which model answers; the one before disappears."""
        self._model.clear()
        self._model.labels(version, short_digest(digest), state).set(1)

    def show_under_way(self, *, requests: int, uploads: int) -> None:
        """Show how many requests, uploads among them, are being answered; called whenever somebody asks."""
        self._under_way.labels("request").set(requests)
        self._under_way.labels("upload").set(uploads)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format, of the type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)


def short_digest(digest: str | None) -> str:
    """Return the beginning of a digest, enough to tell models apart; "none" for a model without one.

    Examples
    --------
    >>> short_digest("sha256:0123456789abcdef0123")
    'sha256:0123456789ab'
    """
    return digest[:DIGEST_LENGTH] if digest else "none"
