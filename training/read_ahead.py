"""What writing an experiment up needs and fitting does not, brought in while other processes fit."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module

from training.shelf.registry import look_packages_up

# matplotlib as the figures use it: half a second.
DRAWING = ("training.report.experiment_figures", "matplotlib.figure", "matplotlib.backends.backend_svg")


def read_ahead(*, n_jobs: int) -> threading.Thread | None:
    """Start to bring it in beside what this process does, which is waiting for its workers; nothing waits for its end.

    Parameters
    ----------
    n_jobs
        Processes that fit. If this one does so itself, nothing is gained, and nothing is done.

    Returns
    -------
    Thread or None
        What brings it in; None if nothing does.
    """
    if n_jobs == 1:
        return None
    thread = threading.Thread(target=_bring_in, name="read-ahead", daemon=True)
    thread.start()
    return thread


def _bring_in() -> None:
    for name in DRAWING:
        with suppress(ImportError):  # is said where it is needed
            import_module(name)
    look_packages_up()
