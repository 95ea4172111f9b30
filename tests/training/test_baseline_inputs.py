from __future__ import annotations

from training.cohort.baseline_inputs import is_analysis_name, late_inputs, not_available_at_baseline


def test_measures_from_after_baseline_are_recognised_by_their_names() -> None:
    late = [
        "caps5_total_followup", "change_rest__a__b", "cadss_infusion_40min", "pcl5_week2", "rest_post__a__b",
        "rest_10_20min__a__b",
    ]  # fmt: skip
    early = [
        "caps5_total_baseline", "rest_fisher_z__amygdala_L__vmPFC", "gppi_faces__posterior_x__y", "site=postdam",
        "quality_minutes_kept__rest",
    ]  # fmt: skip
    assert not_available_at_baseline(late) == tuple(late)
    assert not_available_at_baseline(early) == ()


def test_declared_times_count_for_columns_levels_and_families() -> None:
    inputs = ["cortisol", "smoker=yes", "rest_fisher_z__a__b", "age"]
    times = {"cortisol": "day 2", "smoker": "week1", "rest_fisher_z": "during the infusion", "age": "screening"}
    assert set(late_inputs(inputs, times)) == {"cortisol", "smoker=yes", "rest_fisher_z__a__b"}


def test_a_declared_baseline_overrules_a_name_but_not_a_change() -> None:
    assert late_inputs(["days_after_trauma"], {"days_after_trauma": "baseline"}) == {}
    for certain in ("change_rest__a__b", "caps5_followup", "hr_post", "cadss_infusion"):
        assert late_inputs([certain], {certain: "baseline"}) == {certain: "by its name"}


def test_the_name_of_an_analysis_ends_in_the_word() -> None:
    assert is_analysis_name("ketamine-response-analysis")
    assert not is_analysis_name("analysis-free")
