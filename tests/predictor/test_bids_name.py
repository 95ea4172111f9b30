from __future__ import annotations

import pytest
from nilearn.interfaces.bids import parse_bids_filename

from predictor.scan.bids_name import parse_bids_name


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_task-rest_bold.nii.gz",
        "/data/sub-01/ses-a/func/sub-01_ses-a_task-rest_run-02_space-MNI152NLin2009cAsym_desc-preproc_bold.nii",
        "sub-a-b_task-rest-2_desc-confounds_timeseries.tsv",
        "sub-01_noisy_task-rest_events.tsv",
        "task-rest_bold.json",
        "bold.nii",
        "sub-01_sub-02_bold.nii.gz.part",
    ],
)
def test_names_are_taken_apart_as_nilearn_does(name: str) -> None:
    theirs, ours = parse_bids_filename(name), parse_bids_name(name)
    assert list(ours.entities.items()) == list(theirs["entities"].items())
    assert (ours.suffix, ours.extension) == (theirs["suffix"], theirs["extension"])
