"""The command `krp score`."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor import console
from predictor.command_parser import Subparsers, add_command
from predictor.errors import SessionError, UsageError
from predictor.exit_codes import DONE, REFUSED
from predictor.visit_options import add_participant_labels, add_session

if TYPE_CHECKING:
    from predictor.model.outcome_definition import Covariate, CovariateValue
    from predictor.scan.session import VisitFiles
    from predictor.scorer import Scorer

DEFAULT_MODEL = "models:/ketamine-response@champion"
# Who the answer is for, and the answer.
Scored = tuple[str | None, dict[str, Any]]


def add_commands(subparsers: Subparsers[Any]) -> None:
    """Add `score`."""
    parser = add_command(
        subparsers,
        "score",
        help="answer for one visit, as the service would",
        description=(
            "Answer for one visit, as the service would: expected improvement with its uncertainty, and why. INPUT is "
            "a visit's folder in an fMRIPrep output (sub-01 or sub-01/ses-1), the whole output folder, or a table of "
            "features as `krp extract` writes it (features.tsv). Research use only."
        ),
        examples=(
            "krp score derivatives/fmriprep/sub-01 --bids-dir raw --bundle bundle --covariate caps5_total_baseline=42",
            "krp score features.tsv --bundle bundle --participants participants.tsv --out answers.jsonl",
            "krp score derivatives/fmriprep --participant-label 01 --service http://127.0.0.1:8000 --json",
        ),
        notes=(
            "A single visit of a folder gives the answer document. A table, or a folder with several visits, gives one "
            'line of JSON per visit: {"participant": ..., "answer": ...}.'
        ),
        exit_codes={REFUSED: "an answer was refused (quality, applicability); the reasons are in it"},
    )
    parser.add_argument(
        "input", metavar="INPUT", type=Path, help="visit's folder, fMRIPrep output folder, or features.tsv"
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--bundle", metavar="DIR", type=Path, help="bundle folder of the model")
    model.add_argument("--model", metavar="URI", help=f"model in the registry (default: {DEFAULT_MODEL})")
    model.add_argument(
        "--service",
        metavar="URL",
        help="ask the service that runs there instead of scoring here; its access key comes from KRP_KEY",
    )
    add_participant_labels(parser)
    add_session(parser, otherwise="all")
    parser.add_argument("--bids-dir", metavar="RAW", type=Path, help="raw dataset, which holds the events of task runs")
    parser.add_argument(
        "--covariate",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="something the model wants to know besides the scan; may be given several times",
    )
    parser.add_argument(
        "--participants", metavar="TSV", type=Path, help="participants.tsv to take the covariates of each visit from"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the JSON to this file")
    parser.add_argument(
        "--report", metavar="FILE.html", type=Path, help="also draw the visit: quality, features, methods, answer"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a summary")
    parser.set_defaults(run=run_score)


def run_score(arguments: argparse.Namespace) -> int:
    """Score what was named, show or write the answers, and return the exit code."""
    scorer = _scorer(arguments)
    is_table = arguments.input.is_file()
    if arguments.report and is_table:
        raise UsageError("a report is drawn from scans, found a table of features.")
    scored = _score_table(arguments, scorer) if is_table else _score_visits(arguments, scorer)
    content = _as_json(scored, as_lines=is_table or len(scored) > 1)
    if arguments.out:
        _write(arguments.out, content, option="--out")
    if arguments.json:
        console.emit(content.decode())
    else:
        _show(scored)
    return REFUSED if any(answer["status"] == "refused" for _, answer in scored) else DONE


def _scorer(arguments: argparse.Namespace) -> Scorer:
    from predictor.scorer import BundleScorer

    if arguments.service:
        from predictor.service_client import KEY_VARIABLE, ServiceScorer

        return ServiceScorer(arguments.service, key=os.environ.get(KEY_VARIABLE) or None)
    if arguments.bundle:
        return BundleScorer.from_folder(arguments.bundle)
    return BundleScorer.from_registry(arguments.model or DEFAULT_MODEL)


def _score_table(arguments: argparse.Namespace, scorer: Scorer) -> list[Scored]:
    from dataclasses import replace

    from predictor.feature_rows import read_feature_rows

    if arguments.input.name.endswith((".nii", ".nii.gz")):
        raise UsageError(
            "expected a visit's folder or a table of features, found a scan.",
            remedy="Name the folder of the visit, such as derivatives/fmriprep/sub-01; its scans are found by name.",
        )
    covariates_for = _CovariateSource(arguments, scorer.covariates)
    rows = read_feature_rows(arguments.input, scorer.covariates)
    if arguments.participant_label:
        rows = _chosen(rows, arguments.participant_label)
    rows = tuple(replace(row, covariates={**row.covariates, **covariates_for(row.participant)}) for row in rows)
    return list(zip((row.participant for row in rows), scorer.score_rows(rows), strict=True))


def _score_visits(arguments: argparse.Namespace, scorer: Scorer) -> list[Scored]:
    from predictor.scan.session import find_visits
    from predictor.visit_folder import split_visit_folder

    if not arguments.input.is_dir():
        raise UsageError("expected an fMRIPrep output folder or a table of features, found neither.")
    folder, participant, session = split_visit_folder(arguments.input)
    covariates_for = _CovariateSource(arguments, scorer.covariates)
    visits = find_visits(
        folder,
        bids_dir=arguments.bids_dir,
        tasks=scorer.tasks,
        participant_labels=[participant] if participant else arguments.participant_label,
    )
    if arguments.session and session is None:
        session = "ses-" + arguments.session.removeprefix("ses-")
    visits = tuple(visit for visit in visits if session in (None, visit.session_id))
    if not visits:
        where = "/".join(filter(None, [participant, session]))
        raise SessionError("expected preprocessed scans of this session, found none.", where=where)
    if arguments.report:
        return [_score_and_draw(arguments.report, scorer, visits, covariates_for)]
    return [
        (visit.participant_id, scorer.score_visit(visit, covariates_for(visit.participant_id)))
        for visit in console.progress(visits, total=len(visits), label="Score visits")
    ]


def _score_and_draw(
    path: Path, scorer: Scorer, visits: Sequence[VisitFiles], covariates_for: _CovariateSource
) -> Scored:
    """Score the one visit and write its report."""
    from predictor.pipeline import recipe_of
    from predictor.report.visit_report import VisitLabel, visit_report
    from predictor.scan.dataset_files import is_synthetic
    from predictor.scorer import BundleScorer

    if not isinstance(scorer, BundleScorer):
        raise UsageError(
            "a report needs the model here, not a service.", remedy="Name a model with --bundle or --model."
        )
    if len(visits) != 1:
        raise UsageError(
            f"a report shows one visit, found {len(visits)}.",
            remedy="Name one with --participant-label and --session, or use `krp extract --reports`.",
        )
    [visit] = visits
    session = scorer.read_visit(visit, keep_mean_image=True)
    answer = scorer.score_session(session, covariates_for(visit.participant_id))
    label = VisitLabel(
        visit.participant_id, visit.session_id, is_synthetic=any(is_synthetic(run.scan.parent) for run in visit.runs)
    )
    page = visit_report(session, recipe_of(scorer.bundle), label, answer=answer)
    _write(path, page.encode(), option="--report")
    return visit.participant_id, answer


class _CovariateSource:
    """Covariates of a participant: those of participants.tsv, overruled by those of the command line."""

    def __init__(self, arguments: argparse.Namespace, covariates: Sequence[Covariate]) -> None:
        from predictor.feature_rows import read_covariates

        self._given = _parse_covariates(arguments.covariate, covariates)
        self._table = read_covariates(arguments.participants, covariates) if arguments.participants else None

    def __call__(self, participant: str | None) -> Mapping[str, CovariateValue]:
        from predictor.feature_rows import covariates_of

        of_table = {} if self._table is None else covariates_of(participant, self._table)
        return {**of_table, **self._given}


def _parse_covariates(pairs: Sequence[str], covariates: Sequence[Covariate]) -> dict[str, CovariateValue]:
    from predictor.feature_rows import covariate_value

    known = {covariate.name: covariate for covariate in covariates}
    given: dict[str, CovariateValue] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise UsageError(f"expected --covariate NAME=VALUE, found {name[:80]}.")
        if name not in known:
            expected = ", ".join(known) or "none"
            raise UsageError(f"the model knows the covariates {expected}; found {name[:80]}.")
        given[name] = covariate_value(text, known[name], where=f"--covariate {name}")
    return given


def _chosen(rows: tuple[Any, ...], labels: Sequence[str]) -> tuple[Any, ...]:
    from predictor.errors import UnknownParticipantError

    wanted = {label.removeprefix("sub-") for label in labels}
    chosen = tuple(row for row in rows if (row.participant or "").removeprefix("sub-") in wanted)
    if len({row.participant for row in chosen}) < len(wanted):
        raise UnknownParticipantError("a label that was asked for is not in the table.", where="--participant-label")
    return chosen


def _as_json(scored: Sequence[Scored], *, as_lines: bool) -> bytes:
    from predictor.model.answer import answer_bytes
    from predictor.model.canonical_json import canonical_json

    if not as_lines:
        return answer_bytes(scored[0][1])
    # The answer's own bytes stay as they are.
    return b"".join(
        b'{"participant":' + canonical_json(participant) + b',"answer":' + answer_bytes(answer) + b"}\n"
        for participant, answer in scored
    )


def _show(scored: Sequence[Scored]) -> None:
    from predictor.report.summary import summarise_answer

    for participant, answer in scored:
        title = [participant] if participant and len(scored) > 1 else []
        console.emit("\n".join([*title, summarise_answer(answer)]))


def _write(path: Path, content: bytes, *, option: str) -> None:
    """Write the whole file or nothing."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise _not_written(option, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _not_written(option, error) from error


def _not_written(option: str, error: OSError) -> UsageError:
    remedy = "Name a file in a folder that can be written, on a disk with room."
    return UsageError(f"the file of {option} cannot be written: {error.strerror}.", remedy=remedy)
