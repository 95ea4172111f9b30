"""The corpus of planted leaks on many cohorts, and honest experiments without a false alarm.

Not part of the quick tests: `python -m pytest tests/robustness/test_leak_corpus.py` (some minutes).
`KRP_COHORTS=2` runs a few cohorts only.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

N_COHORTS = int(os.environ.get("KRP_COHORTS", "20"))
CORPUS_FILE = Path(__file__).parent.parent / "training" / "test_audit.py"


def load_corpus() -> ModuleType:
    """Import the file of the quick test, which holds the corpus."""
    spec = importlib.util.spec_from_file_location("leak_corpus", CORPUS_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["leak_corpus"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


corpus = load_corpus()


def test_every_leak_is_caught_and_named_in_every_cohort() -> None:
    missed: Counter[str] = Counter()
    for leak in corpus.CORPUS:
        for seed in range(N_COHORTS):
            report = corpus.audit_planted(leak, seed)
            if report.passed or report.leaking_steps[0] != leak.step:
                missed[f"{leak.name}: {report.leaking_steps}"] += 1
    print(f"{len(corpus.CORPUS)} leaks x {N_COHORTS} cohorts; missed or named otherwise: {dict(missed)}")  # noqa: T201
    assert not missed


def test_no_honest_experiment_raises_an_alarm() -> None:
    alarms, looks = [], 0
    for seed in range(N_COHORTS):
        report = corpus.audit_honest(seed)
        looks += len(report.findings)
        if not report.passed:
            alarms.append((seed, report.leaking_steps))
    print(f"{N_COHORTS} honest cohorts: {len(alarms)} false alarms, {looks} things to look at")  # noqa: T201
    assert not alarms
