"""Ask a running service instead of scoring here; the answers are the same bytes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from predictor.errors import ServiceError, UsageError
from predictor.feature_rows import FeatureRow
from predictor.model.canonical_json import canonical_json, parse_json
from predictor.model.outcome_definition import Covariate, CovariateValue
from predictor.scan.session import VisitFiles
from predictor.scan.task_description import TaskDescription, load_task_description

# An option would show the key to everybody who lists the processes of this machine.
KEY_VARIABLE = "KRP_KEY"
NO_KEY_REMEDY = f"Put a valid access key of the service into the environment variable {KEY_VARIABLE}."
TIMEOUT_S = 600.0
CHUNK_BYTES = 1024 * 1024
MAX_REPLY_BYTES = 256 * 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class ServiceScorer:
    """A service that `krp serve` runs.

    Parameters
    ----------
    url
        Its address, such as http://127.0.0.1:8000.
    key
        Access key or token, for a service that asks for one.
    tasks
        Which runs of a visit to send; the default names if None.

    Raises
    ------
    UsageError
        If it is no http or https address.
    ServiceError
        If nothing answers there, or it is no such service.
    """

    def __init__(self, url: str, *, key: str | None = None, tasks: TaskDescription | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("expected an address such as http://127.0.0.1:8000.")
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError("expected an access key as `krp keys create` prints it.", where=KEY_VARIABLE)
        self._url, self._key = url.rstrip("/"), key
        # A proxy cannot reach what listens on this machine only.
        handlers = [ProxyHandler({})] if parts.hostname in LOOPBACK_HOSTS else []
        self._opener: OpenerDirector = build_opener(_PatientHTTPHandler, _PatientHTTPSHandler, *handlers)
        self.tasks = tasks or load_task_description()
        current = self._ask("/v1/models/current")
        try:
            self.covariates: Sequence[Covariate] = tuple(
                Covariate(name=c["name"], kind=c["kind"], levels=tuple(c["levels"]), role=c["role"])
                for c in current["covariates"]
            )
            self._max_rows = int(current["limits"]["max_rows"])
            self._max_bytes = int(current["limits"]["max_json_bytes"])
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError("the service does not describe its model as expected.") from error

    def score_visit(self, files: VisitFiles, covariates: Mapping[str, CovariateValue]) -> dict[str, Any]:
        """Send the scans of one visit; they are read from disk while they are sent."""
        if files.problem is not None:
            raise files.problem
        form = _Form(files, covariates)
        headers = {"Content-Type": form.content_type, "Content-Length": str(form.n_bytes)}
        return _answer_of(self._ask("/v1/scans", form.chunks(), headers))

    def score_rows(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        """Send rows of features, in as many requests as the service's limits ask for.

        Raises
        ------
        ServiceError
            If the service says no, or does not answer every row.
        """
        answers: list[dict[str, Any]] = []
        for body in self._bodies(rows):
            reply = self._ask("/v1/predictions", body, {"Content-Type": "application/json"})
            answers += [_answer_of(envelope) for envelope in _list_of(reply, "predictions")]
        if len(answers) != len(rows):
            raise ServiceError(f"expected {len(rows)} answers, found {len(answers)}.")
        return answers

    def _bodies(self, rows: Sequence[FeatureRow]) -> Iterator[bytes]:
        head, tail = b'{"rows":[', b"]}"
        batch: list[bytes] = []
        for row in rows:
            document = canonical_json(
                {
                    # No label: the order of the answers says whose they are.
                    "features": dict(row.features),
                    "covariates": dict(row.covariates),
                    "recipe_hash": row.recipe_hash,
                }
            )
            n_bytes = sum(len(other) + 1 for other in batch) + len(document) + len(head) + len(tail)
            if batch and (len(batch) >= self._max_rows or n_bytes > self._max_bytes):
                yield head + b",".join(batch) + tail
                batch = []
            batch.append(document)
        if batch:
            yield head + b",".join(batch) + tail

    def _ask(
        self, path: str, body: bytes | Iterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        request = Request(self._url + path, data=body, headers=dict(headers or {}))
        if self._key:  # not taken along to where a redirection leads
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                content = reply.read(MAX_REPLY_BYTES + 1)
        except HTTPError as error:
            with error:
                raise _problem_of(error.code, error.read(CHUNK_BYTES)) from error
        except (URLError, OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise ServiceError(f"no answer from the service: {reason}.") from error
        try:
            return parse_json(content)
        except ValueError as error:
            raise ServiceError("the service answers with something else than JSON.") from error


class _PatientConnection(HTTPConnection):
    """Hears why it was refused: who turns an upload away answers and hangs up before all of it was sent."""

    def request(self, *arguments: Any, **options: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            super().request(*arguments, **options)


class _PatientTLSConnection(_PatientConnection, HTTPSConnection):
    pass


class _PatientHTTPHandler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_PatientConnection, req)


class _PatientHTTPSHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_PatientTLSConnection, req)


class _Form:
    """A multipart form of one visit, its size known before a byte is read."""

    def __init__(self, files: VisitFiles, covariates: Mapping[str, CovariateValue]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts: list[tuple[bytes, bytes | Path]] = [
            (self._head("covariates"), canonical_json({k: v for k, v in covariates.items()}))
        ]
        for run in files.runs:
            # The only thing the service takes from a file name is the space; a name may hold a participant's label.
            extension = "nii.gz" if run.scan.name.endswith(".gz") else "nii"
            space = f"space-{run.space}_" if run.space else ""
            self._parts.append((self._head(run.name, f"{space}bold.{extension}"), run.scan))
            tables = {"confounds": run.confounds, "confounds_sidecar": run.confounds_sidecar, "sidecar": run.sidecar}
            tables |= {"events": run.events if run.kind != "rest" else None}
            for name, path in tables.items():
                if path is not None:
                    self._parts.append((self._head(f"{run.name}_{name}", name), path))
        self._tail = f"--{self._boundary}--\r\n".encode()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def n_bytes(self) -> int:
        """Length of the body."""
        sizes = [
            len(head) + (len(body) if isinstance(body, bytes) else body.stat().st_size) + 2
            for head, body in self._parts
        ]
        return sum(sizes) + len(self._tail)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; no file is held in memory whole."""
        for head, body in self._parts:
            yield head
            if isinstance(body, bytes):
                yield body
            else:
                with body.open("rb") as file:
                    while chunk := file.read(CHUNK_BYTES):
                        yield chunk
            yield b"\r\n"
        yield self._tail

    def _head(self, name: str, file_name: str | None = None) -> bytes:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
        kind = "application/octet-stream" if file_name else "application/json"
        return f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()


def _problem_of(status: int, content: bytes) -> ServiceError:
    """Return the problem document of a reply as an error in its four parts."""
    try:
        problem = json.loads(content)
        message = f"the service answers {status} {problem['code']}: {problem['detail']}"
        remedy = NO_KEY_REMEDY if status == 401 else str(problem.get("remedy") or "")
        return ServiceError(message, where=str(problem.get("where") or ""), remedy=remedy)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServiceError(f"the service answers {status} without saying why.")


def _list_of(reply: Any, name: str) -> list[Any]:
    found = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(found, list):
        raise ServiceError(f"the service's reply has no list of {name}.")
    return found


def _answer_of(envelope: Any) -> dict[str, Any]:
    answer = envelope.get("answer") if isinstance(envelope, dict) else None
    if not isinstance(answer, dict) or "status" not in answer:
        raise ServiceError("the service's reply holds no answer.")
    return answer
