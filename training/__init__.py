"""From a cohort to a judged, registered model: training, its evaluation, and the synthetic trial."""

import os

# Before any module here can import mlflow: it would otherwise call home, and print progress bars over ours.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
