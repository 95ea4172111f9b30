"""All exceptions raised on purpose.

PredictorError           code, message, where, remedy; catch this to catch everything
  UsageError               the command was called in a way that cannot work
  RequestError             an HTTP request is not what its route takes
    UploadTruncatedError  PartUnknownError  PartRepeatedError  PartMissingError  PartTooLargeError
    JsonInvalidError  AddressUnknownError  MethodNotAllowedError  BodyTooLargeError  ContentTypeError
  InternalError            a fault of ours
  ConfigError              an experiment, circuit or task description is wrong
    RegisteredNameError
    CircuitError
      RegionOverlapError
  ScanError                the scan cannot be read or is not what it should be
    ScanTruncatedError  ScanCorruptError  ScanHeaderError  ScanDimensionError
    ScanTypeError  ScanSpaceError  ScanTooLargeError  RepetitionTimeError
    CircuitNotCoveredError
  SessionError             a visit cannot be found or lacks what it must have
  TableError               confounds, events, participants or features do not fit
    RowMismatchError  MissingColumnError  EventsBeyondRunError  ConditionMissingError
    UnknownParticipantError  DuplicateParticipantError
    OutcomeMissingError  OutcomeConstantError
    UnknownFeatureError  ValueOutOfRangeError  AlternativeMissingError
  FeatureError             features cannot be computed
  TrainingError            the cohort cannot carry the experiment
    ReferenceTooSmallError  UnseenSiteError
  TimecourseError          the cohort cannot carry the comparison of arms over time
  ModelBundleError         the bundle is damaged, or made for other inputs
    BundleDamagedError  BundleIncompatibleError
  ModelUnavailableError    no verified model is loaded
    VersionUnverifiedError
  TrackingError            the log book did not take or give what it was asked for
    StoreUnreachableError  StoreReadOnlyError  RunDeletedError
  ServiceError             a running service cannot be reached, or says no
  ExplanationError         contributions do not add up to the output
  RefusedError             everything could be read, and the answer is no
    PromotionRefusedError  LeakFoundError  SharedParticipantsError  AlreadyOpenedError

A message says what was expected and what was found; `remedy` says what to do next. Neither holds participants' data or
server paths.
"""

from __future__ import annotations

from typing import ClassVar


class PredictorError(Exception):
    """Catch this to catch everything we raise on purpose.

    Parameters
    ----------
    message
        What was expected and what was found.
    where
        A part, row or column; never a server path or a person's name.
    remedy
        What to do next; the class's own remedy unless given.
    """

    code: ClassVar[str] = "predictor-error"
    remedy: str = ""

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.where = where
        if remedy:
            self.remedy = remedy

    def located(self, where: str) -> PredictorError:
        """Return this error with its place filled in, unless it already knows it."""
        self.where = self.where or where
        return self


class UsageError(PredictorError):
    """The command was called in a way that cannot work."""

    code = "usage"
    remedy = "Run the command with --help to see what it takes."


class RequestError(PredictorError):
    """An HTTP request is not what its route takes."""

    code = "request-invalid"
    remedy = "The page /docs of this service shows what each route takes."


class UploadTruncatedError(RequestError):
    """The upload ends before its closing boundary, or is not a multipart form at all."""

    code = "upload-truncated"
    remedy = "Send the request again; a proxy may have cut it off."


class PartUnknownError(RequestError):
    """A part of the form has a name that the route does not know."""

    code = "part-unknown"
    remedy = (
        "Name the parts rest, faces or conflict, each with _confounds, _confounds_sidecar, _sidecar or _events; "
        "further runs of a kind are rest_2, rest_2_confounds, and so on."
    )


class PartRepeatedError(RequestError):
    """A part of the form is sent twice."""

    code = "part-repeated"
    remedy = "Send each part once; one visit per request."


class PartMissingError(RequestError):
    """A part is needed that the form does not hold."""

    code = "part-missing"
    remedy = "Send at least one scan, and each table together with the scan it belongs to."


class PartTooLargeError(RequestError):
    """A table or side-car is larger than such a part can be."""

    code = "part-too-large"
    remedy = "Check that the right file was sent under this name; only scans may be this large."


class JsonInvalidError(RequestError):
    """The body is not JSON."""

    code = "json-invalid"
    remedy = "Check quotes, commas and brackets at the named position."


class AddressUnknownError(RequestError):
    """Nothing answers at this address."""

    code = "not-found"
    remedy = "The home page and /docs list what this service answers; results are held for a while only."


class MethodNotAllowedError(RequestError):
    """The address is known, but not with this method."""

    code = "method-not-allowed"
    remedy = "The page /docs of this service shows the method of each route."


class BodyTooLargeError(RequestError):
    """The request is larger than its route takes."""

    code = "body-too-large"
    remedy = "Send fewer rows, or one visit per request; /v1/models/current shows the limits."


class ContentTypeError(RequestError):
    """The body is of another type than its route takes."""

    code = "content-type-unsupported"
    remedy = "Send the content type that /docs shows for this route."


class InternalError(PredictorError):
    """A fault of ours."""

    code = "internal-error"
    remedy = "Please report it with what you did, without participants' data."


class ConfigError(PredictorError):
    """An experiment, circuit or task description is wrong."""

    code = "config-invalid"
    remedy = "Correct the named entry of the file."


class CircuitError(ConfigError):
    """A circuit description cannot be used."""

    code = "circuit-invalid"


class RegionOverlapError(CircuitError):
    """Two regions share voxels on the scan's grid."""

    code = "circuit-regions-overlap"
    remedy = "Move one centre, reduce a radius, or use a finer grid."


class RegisteredNameError(ConfigError):
    """The registered name stands for a model of another kind: another outcome, or an analysis."""

    code = "registered-name-taken"
    remedy = "Give the model another [tracking] registered_model: one name, one outcome."


class ScanError(PredictorError):
    """The scan cannot be read or is not what it should be."""

    code = "scan-unreadable"
    remedy = "Send the NIfTI file that fMRIPrep wrote (desc-preproc_bold.nii.gz)."


class ScanTruncatedError(ScanError):
    """The scan ends before its header says it should."""

    code = "scan-truncated"
    remedy = "Copy the file again and compare its size with the original."


class ScanCorruptError(ScanError):
    """The compressed stream is damaged (deflate data, CRC or length)."""

    code = "scan-corrupt"
    remedy = "Copy the file again; `gzip -t` on the original tells whether that one is sound."


class ScanHeaderError(ScanError):
    """The NIfTI header contradicts itself or holds impossible values."""

    code = "scan-header-invalid"
    remedy = "Write the image again with the tool that made it; nibabel's `nib-ls` shows the header."


class ScanDimensionError(ScanError):
    """The image is not a 4-D series."""

    code = "scan-not-4d"
    remedy = "Send the 4-D BOLD series, not a single volume, a mask or a 5-D image."


class ScanTypeError(ScanError):
    """The image holds complex, colour or otherwise unusable values."""

    code = "scan-type-unsupported"
    remedy = "Convert the image to an integer or real floating-point type."


class ScanSpaceError(ScanError):
    """The scan is not in MNI space."""

    code = "scan-not-mni"
    remedy = "Use the derivative in MNI152NLin2009cAsym (or another MNI) space."


class ScanTooLargeError(ScanError):
    """The scan is larger than the limits allow."""

    code = "scan-too-large"
    remedy = "Send one run at the resolution fMRIPrep was asked for; limits are in the settings."


class RepetitionTimeError(ScanError):
    """The repetition time is absent, zero, or evidently in the wrong unit."""

    code = "repetition-time-invalid"
    remedy = "Give the side-car with RepetitionTime in seconds."


class CircuitNotCoveredError(ScanError):
    """The field of view leaves out whole regions of the circuit."""

    code = "circuit-not-covered"
    remedy = "Check that the scan is in MNI space and covers the frontal and medial temporal lobes."


class SessionError(PredictorError):
    """A visit cannot be found or lacks what it must have."""

    code = "session-not-found"
    remedy = "Name the fMRIPrep output folder and a participant that it holds."


class TableError(PredictorError):
    """Confounds, events, participants or features do not fit."""

    code = "table-invalid"
    remedy = "Correct the named row or column of the table."


class RowMismatchError(TableError):
    """A table has another number of rows than the scan has volumes."""

    code = "confounds-row-mismatch"
    remedy = (
        "Use the table that fMRIPrep wrote for this run; "
        "if dummy scans were removed from the scan, remove them from the table too."
    )

    def __init__(self, n_rows: int, n_volumes: int, *, where: str = "") -> None:
        super().__init__(f"the confounds table has {n_rows} rows, the scan {n_volumes} volumes.", where=where)
        self.n_rows = n_rows
        self.n_volumes = n_volumes


class MissingColumnError(TableError):
    """A table lacks columns that are needed."""

    code = "table-column-missing"
    remedy = "Add the named columns, or name the columns that hold them."


class EventsBeyondRunError(TableError):
    """Events lie outside the run, or last longer than it."""

    code = "events-beyond-run"
    remedy = "Check that events and scan belong to the same run, and that onsets and durations are in seconds."


class ConditionMissingError(TableError):
    """None of the events carries a condition that the task description needs."""

    code = "events-condition-missing"
    remedy = "Map your condition names in a task description and pass it with --tasks."


class UnknownParticipantError(TableError):
    """A participant is asked for that the cohort does not hold."""

    code = "participant-unknown"
    remedy = "Check the label against participants.tsv and the derivatives folder."


class DuplicateParticipantError(TableError):
    """A participant stands in a table twice."""

    code = "participant-duplicate"
    remedy = "Keep one row per participant and visit."


class OutcomeMissingError(TableError):
    """Outcomes are missing where they are needed."""

    code = "outcome-missing"
    remedy = "Leave these participants out on purpose, or fill in the outcome."


class OutcomeConstantError(TableError):
    """The outcome is the same for everyone, so nothing can be learned."""

    code = "outcome-constant"
    remedy = "Check that the right column was named as the outcome."


class UnknownFeatureError(TableError):
    """A feature name is not one that the model knows."""

    code = "feature-unknown"
    remedy = "Download the template of the current model and use its names."


class ValueOutOfRangeError(TableError):
    """A value is not a finite number, or outside what is possible."""

    code = "value-out-of-range"
    remedy = "Correct the value; one that is not known is null in a request and n/a in a table."


class FeatureError(PredictorError):
    """Features cannot be computed."""

    code = "feature-not-computable"
    remedy = "Check the region signals and the recipe."


class AlternativeMissingError(TableError):
    """A multiverse names alternatives whose feature tables were not made yet."""

    code = "alternative-missing"
    remedy = "Name feature tables that exist, or leave these alternatives out."


class TrainingError(PredictorError):
    """The cohort cannot carry the experiment."""

    code = "training-impossible"
    remedy = "Change the experiment file or the cohort as the message says."


class TimecourseError(PredictorError):
    """The cohort cannot carry the comparison of arms over time."""

    code = "timecourse-impossible"
    remedy = "Check the arms in participants.tsv, and that the windows lie inside the runs."


class ReferenceTooSmallError(TrainingError):
    """Too few controls are left to say what is normal."""

    code = "reference-too-small"
    remedy = "Add controls, name fewer [reference] covariates, or leave out features that many controls lack."

    def __init__(self, n_people: int, n_terms: int, feature: str) -> None:
        super().__init__(
            f"{n_people} controls with all covariates have {feature}, for {n_terms} terms; expected at least 10 more "
            "controls than terms.",
            where="[reference]",
        )
        self.n_people = n_people
        self.n_terms = n_terms
        self.feature = feature


class UnseenSiteError(TrainingError):
    """Someone is from a site that no training person is from, and the model was told to refuse such people."""

    code = "site-unseen"
    remedy = "Train with people from this site, or set [harmonization] unseen_site to flag or reference."


class ModelBundleError(PredictorError):
    """The bundle is damaged, or made for other inputs."""

    code = "bundle-invalid"
    remedy = "Fetch the bundle again, or train it again with this version."


class BundleDamagedError(ModelBundleError):
    """A file of the bundle is missing, added or changed."""

    code = "bundle-damaged"


class BundleIncompatibleError(ModelBundleError):
    """The bundle is sound but cannot be used here."""

    code = "bundle-incompatible"


class ModelUnavailableError(PredictorError):
    """No verified model is loaded."""

    code = "model-unavailable"
    remedy = "Train and promote a model (`krp train`, `krp promote`), or serve a bundle with --bundle."


class VersionUnverifiedError(ModelUnavailableError):
    """A registered version was never verified, or no longer can be: registering was cut off, or files changed."""

    code = "version-unverified"
    remedy = "Run `krp doctor`, which says what happened to it; then train again, or use another version."


class TrackingError(PredictorError):
    """The log book did not take or give what it was asked for."""

    code = "tracking-failed"
    remedy = "Look at the store with `krp doctor`; what was logged before is kept."


class StoreUnreachableError(TrackingError):
    """The store does not answer, or does not let us in."""

    code = "store-unreachable"
    remedy = "Check the address, that the database or server runs, and user and password; then run the command again."


class StoreReadOnlyError(TrackingError):
    """The store can be read but not written."""

    code = "store-read-only"
    remedy = "Name a store that this user may write, with --store or [tracking] store."


class RunDeletedError(TrackingError):
    """Someone deleted a run that is being written or read."""

    code = "run-deleted"
    remedy = "Restore the run in MLflow, or run the experiment again; nothing of it is registered."


class ServiceError(PredictorError):
    """A running service cannot be reached, or says no."""

    code = "service-failed"
    remedy = "Check the address, and that `krp serve` runs there."


class ExplanationError(PredictorError):
    """The contributions do not add up to the model's output."""

    code = "explanation-not-additive"
    remedy = "This is a fault of the software; please report it."


class RefusedError(PredictorError):
    """Everything could be read, and the answer is no."""

    code = "refused"


class PromotionRefusedError(RefusedError):
    """A model did not pass the promotion gate."""

    code = "promotion-refused"
    remedy = "Read which checks failed; a model that fails stays a candidate."


class SharedParticipantsError(RefusedError):
    """A cohort for a locked test holds people whom the model was trained on."""

    code = "participants-shared"
    remedy = "Leave these people out; if only the numbers of another study are the same, say so with --other-study."


class AlreadyOpenedError(RefusedError):
    """A locked model was tested before; another look is no longer a test of what was locked."""

    code = "locked-test-opened"
    remedy = "Read the result of the first opening; --again opens once more, and every report will say so."


class LeakFoundError(RefusedError):
    """An audit found that held-out people or the outcome reach the models."""

    code = "leak-found"
    remedy = "Mend the named step or column; what the experiment measured before does not count."
