"""All exceptions raised on purpose.

PredictorError           code, message, where, remedy; catch this to catch everything
  ManyFaultsError          several of them at once, each with its own code
  UsageError               the command was called in a way that cannot work
    ListenerOpenError  HostsUnnamedError  KeyUnknownError
  AccessError              who asks is not known, or may not do this
    CredentialsMissingError  CredentialsInvalidError  CredentialsExpiredError
    ScopeMissingError  ForeignPageError  RateLimitedError  SignInsLimitedError  ProviderUnavailableError
  RequestError             an HTTP request is not what its route takes
    UploadTruncatedError  PartUnknownError  PartRepeatedError  PartMissingError  PartTooLargeError
    JsonInvalidError  AddressUnknownError  MethodNotAllowedError  BodyTooLargeError  ContentTypeError
    HostUnknownError  ResultUnknownError  ModelUnknownError  TensorError
    BodyIdleError  HeadIdleError  HeadTooLargeError  HttpInvalidError
  OverloadedError          the service has as much to do as it takes on at once
    StoppingError
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
    CircuitMismatchError
  TrainingError            the cohort cannot carry the experiment
    ReferenceTooSmallError  UnseenSiteError
  TimecourseError          the cohort cannot carry the comparison of arms over time
  ModelBundleError         the bundle is damaged, or made for other inputs
    BundleDamagedError  BundleIncompatibleError  BundleUnsignedError  BundleSignatureError  ModelRolledBackError
  ModelUnavailableError    no verified model is loaded
    VersionUnverifiedError  RegistryUnreachableError
  ModelHistoryError        what was served before cannot be looked up or written down
  WorkerLostError          a process that computed was killed
  ClusterError             the cluster that should compute cannot be used
    ClusterUnreachableError  ClusterVersionsError  ClusterLostError
  TrackingError            the log book did not take or give what it was asked for
    StoreUnreachableError  StoreReadOnlyError  RunDeletedError
  ServiceError             a running service cannot be reached, or says no
  ExplanationError         contributions do not add up to the output
  ExplanationAbsentError   the answer has no explanation that could be drawn
    RegionsUnknownError
  DatabaseUnavailableError the service's database does not answer
    AuditUnavailableError
  DatabaseIncompatibleError the database has tables this version does not know
  RefusedError             everything could be read, and the answer is no
    PromotionRefusedError  LeakFoundError  SharedParticipantsError  AlreadyOpenedError
    AuditLogBrokenError

A message says what was expected and what was found; `remedy` says what to do next. Neither holds participants' data or
server paths.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    @property
    def unquoted(self) -> str:
        """Message for others than whoever owns the files: without words that stood in their cells."""
        return str(self)

    def located(self, where: str) -> PredictorError:
        """Return this error with its place filled in, unless it already knows it."""
        self.where = self.where or where
        return self


class ManyFaultsError(PredictorError):
    """Several rows, columns or members are wrong; the first one speaks, all are listed."""

    code = "several-faults"
    remedy = "Mend every fault of the list; each has its own code."

    def __init__(self, faults: Sequence[PredictorError]) -> None:
        super().__init__(str(faults[0]), where=faults[0].where, remedy=faults[0].remedy)
        self.faults = tuple(faults)


def one_error(faults: Sequence[PredictorError]) -> PredictorError:
    """Return the only fault, or one error that lists all."""
    return faults[0] if len(faults) == 1 else ManyFaultsError(faults)


class UsageError(PredictorError):
    """The command was called in a way that cannot work."""

    code = "usage"
    remedy = "Run the command with --help to see what it takes."


class ListenerOpenError(UsageError):
    """The service would listen where others reach it, and let everybody in."""

    code = "listener-open"
    remedy = (
        "Create a key first (`krp keys create`), name an OpenID provider (KRP_OIDC_ISSUER, KRP_OIDC_AUDIENCE) or set "
        "KRP_REQUIRE_KEYS=true; or listen on 127.0.0.1, which an SSH tunnel reaches."
    )


class HostsUnnamedError(UsageError):
    """The service would listen where others reach it, without knowing its own name."""

    code = "hosts-unnamed"
    remedy = "Name the hosts that it answers to, as a JSON list: KRP_ALLOWED_HOSTS='[\"scores.example.org\"]'."


class KeyUnknownError(UsageError):
    """No access key has this id."""

    code = "key-unknown"
    remedy = "`krp keys list` shows the ids of all keys."


class AccessError(PredictorError):
    """Who asks is not known, or may not do this."""

    code = "access-refused"
    remedy = "Ask who runs this service for a key."


class CredentialsMissingError(AccessError):
    """The address is for callers with a key or a token."""

    code = "credentials-missing"
    remedy = "Send the header `Authorization: Bearer KEY`; with a browser, sign in at /sign-in."


class CredentialsInvalidError(AccessError):
    """The key or token is not valid here."""

    code = "credentials-invalid"
    remedy = "Check that it was copied whole and not revoked; else ask who runs this service for another."


class CredentialsExpiredError(CredentialsInvalidError):
    """The key or token was valid once."""

    code = "credentials-expired"
    remedy = "Fetch a new token, or ask who runs this service for a new key."


class ScopeMissingError(AccessError):
    """The key or token is valid, but not for this."""

    code = "scope-missing"
    remedy = "Ask who runs this service for a key that holds the named scope."


class ForeignPageError(AccessError):
    """Another site's page sent this through a visitor's browser."""

    code = "foreign-page"
    remedy = "Use this service's own pages, elsewhere than on its own machine over https; programs send a key instead."


class RateLimitedError(AccessError):
    """A key or token sends more than it may."""

    code = "rate-limited"
    remedy = "Wait for the seconds in Retry-After; several rows fit into one request to /v1/predictions."

    def __init__(self, message: str, *, retry_after_s: int, where: str = "") -> None:
        super().__init__(message, where=where)
        self.retry_after_s = retry_after_s


class SignInsLimitedError(RateLimitedError):
    """Too many keys or tokens that are not valid came from one address."""

    code = "sign-ins-limited"
    remedy = "Wait for the seconds in Retry-After, then check the key before trying it again."


class ProviderUnavailableError(AccessError):
    """The OpenID provider cannot be asked for its signing keys."""

    code = "identity-provider-unavailable"
    remedy = "Try again later; who runs this service should check KRP_OIDC_ISSUER and the way to it. Keys still work."
    retry_after_s = 10


class RequestError(PredictorError):
    """An HTTP request is not what its route takes."""

    code = "request-invalid"
    remedy = "The page /docs of this service shows what each route takes."


class BodyIdleError(RequestError):
    """The body of a request stopped arriving, or trickles."""

    code = "body-idle"
    remedy = "Send the request again over a steadier connection."


class HeadIdleError(RequestError):
    """The head of a request does not arrive in time."""

    code = "head-idle"
    remedy = "Send the request again over a steadier connection."


class HeadTooLargeError(RequestError):
    """The head of a request is larger than any client needs."""

    code = "head-too-large"
    remedy = "Send fewer or shorter headers, and a shorter address; data belong into the body."


class HttpInvalidError(RequestError):
    """The bytes that arrived are no HTTP request."""

    code = "http-invalid"
    remedy = "Use an HTTP/1.1 client; over TLS, ask the proxy that stands before this service."


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


class ResultUnknownError(AddressUnknownError):
    """No kept result of this caller has this id."""

    code = "result-unknown"
    remedy = "Results are kept only if asked for (?keep=true), for a while, and for who asked; /v1/results lists yours."


class ModelUnknownError(AddressUnknownError):
    """No model of this name and version answers here."""

    code = "model-unknown"
    remedy = "/v1/models/current shows the name and version of the model that answers."


class TensorError(RequestError):
    """An input tensor is not what the model takes."""

    code = "tensor-invalid"
    remedy = "The model's metadata (/v2/models/NAME) lists every input with its data type; the shape is [n] or [n, 1]."


class MethodNotAllowedError(RequestError):
    """The address is known, but not with this method."""

    code = "method-not-allowed"
    remedy = "The page /docs of this service shows the method of each route."

    def __init__(self, message: str, *, where: str = "", allowed: Sequence[str] = ()) -> None:
        super().__init__(message, where=where)
        self.allowed = tuple(allowed)


class BodyTooLargeError(RequestError):
    """The request is larger than its route takes."""

    code = "body-too-large"
    remedy = "Send fewer rows, or one visit per request; /v1/models/current shows the limits."


class ContentTypeError(RequestError):
    """The body is of another type than its route takes."""

    code = "content-type-unsupported"
    remedy = "Send the content type that /docs shows for this route."


class HostUnknownError(RequestError):
    """The request is meant for another host."""

    code = "host-unknown"
    remedy = "Use the name this service is known by; who runs it lists its names in KRP_ALLOWED_HOSTS."


class OverloadedError(PredictorError):
    """The service has as much to do as it takes on at once."""

    code = "service-overloaded"
    remedy = "Wait for the seconds in Retry-After and send the request again; nothing of it was kept."
    retry_after_s = 2


class StoppingError(OverloadedError):
    """The service is being stopped: answers under way are finished, new requests are not taken."""

    code = "service-stopping"
    remedy = "Send the request again in a moment; another process should be taking over."
    retry_after_s = 5


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

    def __init__(self, message: str, *, found: Sequence[str], where: str = "", remedy: str = "") -> None:
        listed = ", ".join(name[:40] for name in found[:20]) + (", ..." if len(found) > 20 else "")
        super().__init__(f"{message} holds: {listed or 'nothing'}.", where=where, remedy=remedy)
        self._unquoted = f"{message} holds {len(found)} other names."

    @property
    def unquoted(self) -> str:
        """Message with the number of names in place of the names, among which a person's may be."""
        return self._unquoted


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


class CircuitMismatchError(FeatureError):
    """A visit was read for other regions than those that are to be measured."""

    code = "circuit-mismatch"
    remedy = "Read the visit with the recipe that measures it: read_session(folder, recipe=bundle.recipe)."


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


class WorkerLostError(PredictorError):
    """A process that computed was killed, for want of memory as a rule."""

    code = "worker-lost"
    remedy = (
        "Run the same command again with fewer --jobs; participants whose features are on disk are not computed again."
    )


class ClusterError(PredictorError):
    """The cluster that should compute cannot be used."""

    code = "cluster"
    remedy = "Look at the scheduler's log, or compute on this machine with --backend loky."


class ClusterUnreachableError(ClusterError):
    """No scheduler answers at the address, or it has no workers."""

    code = "cluster-unreachable"
    remedy = "Check that `dask scheduler` runs there, that this machine may reach its port, and tcp:// against tls://."


class ClusterVersionsError(ClusterError):
    """The machines of the cluster have other versions of something that numbers depend on."""

    code = "cluster-versions-differ"
    remedy = "Start scheduler, workers and krp from the same environment, or from the same lock file."


class ClusterLostError(ClusterError):
    """The cluster went away while it computed."""

    code = "cluster-lost"
    remedy = "Run the same command again: participants whose features are on disk are not computed again."


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


class BundleUnsignedError(ModelBundleError):
    """The service takes signed bundles only, and this one is not."""

    code = "bundle-unsigned"
    remedy = "Sign it with `krp sign` and the private key that belongs to the service's public key."


class BundleSignatureError(ModelBundleError):
    """The bundle's signature was not made with the expected key, or for another bundle."""

    code = "bundle-signature-wrong"
    remedy = "Do not use this bundle before you know who made it; sign it again if it is yours."


class ModelRolledBackError(ModelBundleError):
    """The model is older than the one that was served before, and this service does not go back."""

    code = "model-rolled-back"
    remedy = (
        "Find out who pointed to the older model. To go back on purpose, stop the service, move the file of "
        "KRP_MODEL_HISTORY away, and start it again."
    )


class ModelUnavailableError(PredictorError):
    """No verified model is loaded."""

    code = "model-unavailable"
    remedy = "Train and promote a model (`krp train`, `krp promote`), or serve a bundle with --bundle."


class VersionUnverifiedError(ModelUnavailableError):
    """A registered version was never verified, or no longer can be: registering was cut off, or files changed."""

    code = "version-unverified"
    remedy = "Run `krp doctor`, which says what happened to it; then train again, or use another version."


class RegistryUnreachableError(ModelUnavailableError):
    """The model registry does not answer, or is not there."""

    code = "registry-unreachable"
    remedy = "Check --tracking-uri or KRP_TRACKING_URI, and that its database or server runs."


class ModelHistoryError(PredictorError):
    """What was served before cannot be looked up or written down, so no other model is taken."""

    code = "model-history-unavailable"
    remedy = "Let KRP_MODEL_HISTORY name a file of the service in a folder that is there and that it can write to."


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


class ExplanationAbsentError(PredictorError):
    """The answer holds no explanation: it was refused, or its explanation was withheld."""

    code = "explanation-absent"
    remedy = "The answer's reasons say why; GET the result for them."


class RegionsUnknownError(ExplanationAbsentError):
    """Nobody knows where in the brain the explained features were measured."""

    code = "explanation-without-regions"
    remedy = "Use the waterfall and the table; only models trained on scans know their regions' coordinates."


class DatabaseUnavailableError(PredictorError):
    """The service's database does not answer, or does not take what is written."""

    code = "database-unavailable"
    remedy = "Check KRP_DATABASE_URL, that the database runs, and that its disk has space; then try again."


class AuditUnavailableError(DatabaseUnavailableError):
    """The audit log did not take its entry, and no answer leaves without one."""

    code = "audit-unavailable"
    remedy = "Try again; if it stays so, check that the service's database runs and that its disk has space."


class DatabaseIncompatibleError(PredictorError):
    """The service's database has tables that this version does not know."""

    code = "database-incompatible"
    remedy = "Use the version of the service that wrote them, or a newer one, or name another database."


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


class AuditLogBrokenError(RefusedError):
    """The audit log is not as it was written."""

    code = "audit-log-broken"
    remedy = "Keep the database as it is, restore a backup beside it, and compare the entries from the named one on."
