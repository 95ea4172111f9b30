"""Every look at a locked model's test, written down before its numbers are seen; nothing here is ever taken back.

For a registered model each opening is a run in the experiment "locked tests", so it works in every kind of store, and
the version's tag `openings` counts them; runs that someone deleted in MLflow count all the same. For a bundle folder
they are lines of `<folder>.openings.jsonl` beside it: whoever copies the bundle alone leaves the count behind.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from predictor.errors import AlreadyOpenedError, UsageError
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import RunLog, Store, document_text, paged, start_run

EXPERIMENT = "locked tests"
KIND = "locked-test"
OPENINGS_TAG = "openings"
RESULT_DOCUMENT, RESULT_PAGE = "locked_test.json", "locked_test.html"
FILE_SUFFIX = ".openings.jsonl"
ALL_RUNS = 3  # MLflow's ViewType.ALL: deleted runs too


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at a model's test on one cohort."""

    bundle_digest: str
    cohort_digest: str
    cohort: str
    at: str  # UTC


class OpeningRecord(Protocol):
    """Takes the result of one opening."""

    def result(self, document: Mapping[str, Any], page: str) -> None:
        """Keep the result beside the opening."""


class OpeningLog(Protocol):
    """Where the openings of a model stand."""

    def earlier(self) -> tuple[Opening, ...]:
        """Return the openings so far, of this model and of others that are written down there, oldest first."""

    def open(self, opening: Opening, *, again: bool) -> Any:
        """Write the opening down; a context that hands out its `OpeningRecord`."""


def now() -> str:
    """Return the time as openings have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def refuse_second(earlier: tuple[Opening, ...], bundle_digest: str, *, again: bool) -> None:
    """Refuse a look at a model that was opened before, unless it is asked for on purpose.

    Raises
    ------
    AlreadyOpenedError
        If there is an earlier opening and `again` is not said.
    """
    before = [one for one in earlier if one.bundle_digest == bundle_digest]
    if before and not again:
        times = "once" if len(before) == 1 else f"{len(before)} times"
        raise AlreadyOpenedError(
            f"expected a model that was never tested; it was opened {times}, last at {before[-1].at}."
        )


@dataclass(frozen=True, slots=True)
class RegistryOpenings:
    """Openings of a registered version."""

    store: Store
    name: str
    version: str

    def earlier(self) -> tuple[Opening, ...]:
        """Return the openings so far of all models of the store, oldest first."""
        return tuple(opening for _, opening in self._counted())

    @contextmanager
    def open(self, opening: Opening, *, again: bool) -> Iterator[RunOpening]:
        """Write the opening down as a run, and count it at the version.

        Raises
        ------
        AlreadyOpenedError
            If someone else opened it at the same moment, and was first.
        """
        with start_run(self.store, EXPERIMENT, name=f"{self.name}/{self.version}", kind=KIND) as run:
            run.tags({f"opening.{name}": value for name, value in asdict(opening).items()})
            run.tags({"opening.model": self.name, "opening.version": self.version})
            own = [(run_id, one) for run_id, one in self._counted() if one.bundle_digest == opening.bundle_digest]
            if not again and own[0][0] != run.run_id:
                run.tags({"opening.refused": "true"})
                refuse_second((own[0][1],), opening.bundle_digest, again=False)
            with in_our_words("count the opening"):
                self.store.client.set_model_version_tag(self.name, self.version, OPENINGS_TAG, str(len(own)))
            yield RunOpening(run)

    def _counted(self) -> list[tuple[str, Opening]]:
        """Return run and opening of everything that was not refused, oldest first."""
        with in_our_words("list the openings"):
            experiment = self.store.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return []
            search, ids = self.store.client.search_runs, [experiment.experiment_id]
            runs = list(paged(search, ids, run_view_type=ALL_RUNS, order_by=["attributes.start_time ASC"]))
        tags = [(run.info.start_time, run.info.run_id, run.data.tags) for run in runs]
        return [
            (run_id, Opening(**{name: found.get(f"opening.{name}", "") for name in Opening.__slots__}))
            for _, run_id, found in sorted(tags, key=lambda one: one[:2])
            if "opening.bundle_digest" in found and "opening.refused" not in found
        ]


@dataclass(frozen=True, slots=True)
class RunOpening:
    """The run of one opening."""

    run: RunLog

    def result(self, document: Mapping[str, Any], page: str) -> None:
        """Log the result, aggregates only."""
        locked = document["models"][0]["metrics"]
        self.run.metrics(
            {"r2": locked["r2"], "mae": locked["mae"], "permutation_p": document["permutation"]["p_value"]}
        )
        self.run.files({RESULT_DOCUMENT: document_text(document), RESULT_PAGE: page})


@dataclass(frozen=True, slots=True)
class FileOpenings:
    """Openings of a bundle folder, in a file beside it."""

    path: Path

    @classmethod
    def beside(cls, bundle: Path) -> FileOpenings:
        """Return the log of a bundle folder."""
        place = bundle.resolve()
        return cls(place.with_name(place.name + FILE_SUFFIX))

    def earlier(self) -> tuple[Opening, ...]:
        """Return the openings so far, oldest first.

        Raises
        ------
        UsageError
            If the file cannot be read, or holds something else.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except OSError as error:
            raise UsageError(f"the openings cannot be read: {error.strerror}.", where=self.path.name) from error
        return tuple(opening for line in lines if (opening := self._parse(line)))

    @contextmanager
    def open(self, opening: Opening, *, again: bool) -> Iterator[FileOpening]:
        """Append the opening, while no one else can.

        Raises
        ------
        AlreadyOpenedError
            If someone else opened it at the same moment, and was first.
        UsageError
            If the file cannot be written.
        """
        with self._locked() as file:
            refuse_second(self.earlier(), opening.bundle_digest, again=again)
            file.write(json.dumps({"opening": asdict(opening)}, sort_keys=True) + "\n")
        yield FileOpening(self, opening)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append a line."""
        with self._locked() as file:
            file.write(json.dumps(entry, sort_keys=True) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as error:
            raise UsageError(
                f"the opening cannot be written down: {error.strerror}.",
                where=self.path.name,
                remedy="A locked test without a record is none: put the bundle where its openings can stand beside it.",
            ) from error

    def _parse(self, line: str) -> Opening | None:
        try:
            entry = json.loads(line)
            return Opening(**entry["opening"]) if "opening" in entry else None
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                "a line of the openings is damaged.",
                where=self.path.name,
                remedy="Restore the file; it is only ever appended to.",
            ) from error


@dataclass(frozen=True, slots=True)
class FileOpening:
    """The line of one opening."""

    log: FileOpenings
    opening: Opening

    def result(self, document: Mapping[str, Any], page: str) -> None:
        """Append the headline; the whole result goes where the caller asks."""
        locked = document["models"][0]["metrics"]
        found = {"r2": locked["r2"], "mae": locked["mae"], "permutation_p": document["permutation"]["p_value"]}
        self.log.append({"result": found, "at": self.opening.at, "bundle_digest": self.opening.bundle_digest})
