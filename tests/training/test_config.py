from __future__ import annotations

from pathlib import Path

import pytest

from predictor.errors import ConfigError
from training.config import (
    ExperimentConfig,
    HarmonizationConfig,
    ModelConfig,
    ReferenceConfig,
    ReportConfig,
    read_experiment,
)
from training.models.model_names import TREE_MODELS

MINIMAL = """
name = "trial"
[cohort]
features = "features.tsv"
participants = "participants.tsv"
include = { group = "patient" }
[outcome]
name = "caps5_percent_improvement"
[tracking]
registered_model = "ketamine-response"
"""


def read(folder: Path, text: str, *overrides: str) -> ExperimentConfig:
    path = folder / "experiment.toml"
    path.write_text(text)
    return read_experiment(path, overrides=overrides)


def test_the_shipped_experiments_can_be_read(project: Path) -> None:
    for name in ("baseline_prediction.toml", "deviation_prediction.toml", "rpn_bochum.toml"):
        assert read_experiment(project / "experiments" / name).model.primary == "elastic_net"


def test_a_minimal_file_gets_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.model.primary == "elastic_net"
    assert config.validation.scheme == "repeated_kfold"
    assert config.cohort.include == {"group": "patient"}
    assert config.reference is None
    assert read(tmp_path, MINIMAL + "[reference]\n").reference == ReferenceConfig(include={"group": "control"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[tracking]", "[tracking]\nregistred = 1"), "registred"),
        (('name = "trial"', 'name = "trial"\nprimary = "ridge"'), "primary"),
        (('participants = "participants.tsv"', ""), "participants"),
        (('features = "features.tsv"', "features = 3"), "features"),
        (("[tracking]", "[validation]\nn_folds = 1\n[tracking]"), "n_folds"),
        (("[tracking]", "[validation]\nn_folds = true\n[tracking]"), "n_folds"),
        (("[tracking]", '[validation]\nscheme = "loo"\n[tracking]'), "scheme"),
        (("[tracking]", "[covariates]\ninteractions = true\n[tracking]"), "arm"),
        (("[tracking]", "[model]\nl1_ratios = [0.5, 2.0]\n[tracking]"), "l1_ratios"),
        (('name = "caps5_percent_improvement"', 'column = "pain"'), "unit"),
        (('name = "caps5_percent_improvement"', 'column = "pain"\nname = "x"'), "not both"),
        (("[tracking]", "cohort = 3\n[tracking]"), "cohort"),
        (("[outcome]", "reference = 3\n[outcome]"), "reference"),
        (("[tracking]", "[reference]\nincluded = {}\n[tracking]"), "included"),
        (("[tracking]", "[reference]\ninclude = {}\n[tracking]"), "at least one column"),
        (("[tracking]", '[reference]\ncovariates = ["age", "age"]\n[tracking]'), "every column once"),
        (("[tracking]", "[reference]\nthreshold = 0\n[tracking]"), "threshold"),
        (("[tracking]", "[features]\nminimum_reliability = 1.0\n[tracking]"), "minimum_reliability"),
        (
            (
                'name = "caps5_percent_improvement"',
                'column = "pain"\nunit = "z"\n[reference]\ncovariates = ["pain"]',
            ),
            "nothing can be judged by it",
        ),
        (("[cohort]", "[cohort"), "TOML"),
        (('name = "trial"', 'name = ""'), "name"),
        (('name = "trial"', 'name = "../../elsewhere"'), "name"),
        (('name = "trial"', f'name = "{"x" * 101}"'), "name"),
        (('"ketamine-response"', '"a/b"'), "registered_model"),
        (('"ketamine-response"', '"a.b"'), "registered_model"),
        (('"ketamine-response"', '""'), "registered_model"),
        (('"ketamine-response"', '"x"\nstore = ""'), "store"),
        (("[tracking]", "[validation]\nseed = -1\n[tracking]"), "seed"),
        (("[tracking]", "[validation]\nseed = 4294967296\n[tracking]"), "seed"),  # more than scikit-learn takes
        (("[tracking]", "[model]\nl1_ratios = []\n[tracking]"), "l1_ratios"),
        (("[tracking]", "[model]\nn_alphas = 100000000000\n[tracking]"), "n_alphas"),
        (('name = "caps5_percent_improvement"', 'column = "p"\nunit = "z"\nresponse_threshold = nan'), "threshold"),
        (("[tracking]", '[covariates]\narm = "arm"\nclinical = ["arm"]\n[tracking]'), "arm"),
        (("[tracking]", '[covariates]\nclinical = ["age", "age"]\n[tracking]'), "age"),
        (("[tracking]", '[covariates]\narm = ""\ninteractions = true\n[tracking]'), "no arm"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, MINIMAL.replace(*change, 1))
    assert named in f"{caught.value} {caught.value.where}"


def test_the_entries_offered_are_those_that_a_file_may_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known are cohort, covariates") as caught:
        read(tmp_path, "mood = 1\n" + MINIMAL)
    assert "source" not in str(caught.value)


def test_values_set_on_the_command_line_win_and_are_part_of_the_digest(tmp_path: Path) -> None:
    plain = read(tmp_path, MINIMAL)
    changed = read(
        tmp_path,
        MINIMAL,
        "cohort.features=elsewhere/f.tsv",
        "validation.n_permutations=0",
        'model.candidates=["ridge"]',
    )
    assert changed.cohort.features == "elsewhere/f.tsv"
    assert changed.validation.n_permutations == 0
    assert changed.model.candidates == ("ridge",)
    assert changed.digest != plain.digest
    assert "# --set validation.n_permutations=0" in changed.source


def test_a_nonsensical_override_is_refused(tmp_path: Path) -> None:
    for override in ("features", "a.b.c=1", "=3", "name.x=1", ".name=x", "cohort.name=x\n[tracking]"):
        with pytest.raises(ConfigError):
            read(tmp_path, MINIMAL, override)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_experiment(tmp_path / "nothing.toml")


def test_the_outcome_is_no_covariate(tmp_path: Path) -> None:
    text = MINIMAL.replace('name = "caps5_percent_improvement"', 'column = "pain"\nunit = "z"')
    with pytest.raises(ConfigError, match="pain is the outcome"):
        read(tmp_path, text, 'covariates.clinical=["pain"]')


def test_models_compete_when_none_is_named_primary() -> None:
    for one in (
        ModelConfig(primary="", candidates=("elastic_net", "random_forest")),
        ModelConfig(compete=True, primary="elastic_net", candidates=("random_forest", "elastic_net")),
    ):
        assert one.is_competition
        assert set(one.competitors) == {"elastic_net", "random_forest"}
    assert not ModelConfig(candidates=("ridge",)).is_competition


def test_a_competition_needs_two_models_of_the_outcome_itself() -> None:
    with pytest.raises(ConfigError, match="at least 2 models that compete"):
        ModelConfig(primary="", candidates=("elastic_net", "svm_linear"))


def test_leaving_sites_out_needs_the_site(tmp_path: Path) -> None:
    text = MINIMAL + '[validation]\nscheme = "leave_one_site_out"\n'
    with pytest.raises(ConfigError, match="needs the column of the site"):
        read(tmp_path, text)
    assert read(tmp_path, text, "covariates.site=site").validation.scheme == "leave_one_site_out"


def test_harmonisation_is_read_and_what_cannot_work_is_named(tmp_path: Path) -> None:
    site = MINIMAL + '[covariates]\nsite = "site"\n'
    section = '[harmonization]\npreserved = ["age"]\nunseen_site = "reference"\nreference_site = "1"\n'
    found = read(tmp_path, site + section).harmonization
    assert found == HarmonizationConfig(preserved=("age",), unseen_site="reference", reference_site="1")
    assert read(tmp_path, site).harmonization is None
    for text, where in (
        (MINIMAL + section, "[covariates] site"),
        (site + section + "[reference]\n", "[harmonization]"),
        (site + '[harmonization]\nunseen_site = "reference"\n', "[harmonization] reference_site"),
        (site + '[harmonization]\nunseen_site = "guess"\n', "[harmonization] unseen_site"),
        (site + '[harmonization]\npreserved = ["age", "age"]\n', "[harmonization] preserved"),
    ):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, text)
        assert caught.value.where == where


def test_the_report_section_is_read_and_bounded(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + '[report]\nauthors = ["A. Author"]\nfunding = "none"\n')
    assert config.report.authors == ("A. Author",)
    assert config.report.funding == "none"
    assert config.report.ethics == ""
    assert read(tmp_path, MINIMAL).report == ReportConfig()
    with pytest.raises(ConfigError, match="at most 4000 characters") as caught:
        read(tmp_path, MINIMAL + f'[report]\nnotes = "{"x" * 4001}"\n')
    assert caught.value.where == "[report] notes"
    with pytest.raises(ConfigError, match="unknown entries: grants"):
        read(tmp_path, MINIMAL + '[report]\ngrants = "none"\n')


def test_trees_can_be_primary_but_not_beside_a_reference_of_controls(tmp_path: Path) -> None:
    for name in TREE_MODELS:
        assert read(tmp_path, MINIMAL, f"model.primary={name}").model.primary == name
        with pytest.raises(ConfigError, match=f"{name} cannot be the primary model beside") as caught:
            read(tmp_path, MINIMAL, f"model.primary={name}", "reference.threshold=2.0")
        assert caught.value.where == "[model] primary"
