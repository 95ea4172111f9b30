from __future__ import annotations

from typing import Any

import pytest

from predictor.errors import ConfigError
from training.multiverse.multiverse_config import MultiverseConfig

EDGES = {"correlation": {}, "partial": {"features": {"families": ["rest_partial"]}}}
CONFOUNDS = {"motion24": {}, "motion6": {"extract": "--confound-strategy motion6"}}
DECONVOLUTION = {"on": {}, "off": {"extract": "--no-deconvolution"}}


def made(axes: dict[str, Any], **options: Any) -> MultiverseConfig:
    return MultiverseConfig(axes, tables="tables", derivatives="derivatives", **options)


def test_all_combinations_are_made_once_the_registered_one_first() -> None:
    found = [dict(one) for one in made({"edges": EDGES, "confounds": CONFOUNDS}).choices()]
    assert found[0] == {"edges": "correlation", "confounds": "motion24"}
    assert len(found) == 4
    assert len({tuple(one.values()) for one in found}) == 4


def test_listed_universes_are_run_beside_the_registered_one_and_take_its_other_decisions() -> None:
    listed = ({"edges": "partial"}, {"edges": "partial", "confounds": "motion24"})
    found = [dict(one) for one in made({"edges": EDGES, "confounds": CONFOUNDS}, universes=listed).choices()]
    assert found == [
        {"edges": "correlation", "confounds": "motion24"},
        {"edges": "partial", "confounds": "motion24"},
    ]


def test_alternatives_that_extract_otherwise_share_one_table_with_all_their_options() -> None:
    config = made({"confounds": CONFOUNDS, "edges": EDGES, "deconvolution": DECONVOLUTION})
    choice = {"confounds": "motion6", "edges": "partial", "deconvolution": "off"}
    assert config.folder_name(choice) == "confounds-motion6__deconvolution-off"
    assert config.combined(choice) == {
        "extract": "--confound-strategy motion6 --no-deconvolution",
        "features.families": ["rest_partial"],
    }


def test_decisions_that_would_undo_each_other_are_refused() -> None:
    other = {"all": {}, "few": {"features": {"families": ["gppi_faces"]}}}
    config = made({"edges": EDGES, "families": other})
    with pytest.raises(ConfigError, match=r"edges and families both set features\.families"):
        config.combined({"edges": "partial", "families": "few"})
    gone = made({"a": {"x": {}, "y": {"reference": False}}, "b": {"x": {}, "y": {"reference": {"threshold": 2.5}}}})
    with pytest.raises(ConfigError, match="both set"):
        gone.combined({"a": "y", "b": "y"})
    named = {"ours": {}, "theirs": {"cohort": {"features": "other.tsv"}}}
    with pytest.raises(ConfigError, match="names a feature table"):
        made({"tables": named, "confounds": CONFOUNDS}).combined({"tables": "theirs", "confounds": "motion6"})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "at least one axis"),
        ({"edges": {"correlation": {}}}, "two or more alternatives"),
        ({"edges": {"correlation": {}, "partial": {}}}, "exactly one of them empty"),
        ({"edges": {"a": {"model": {"primary": "ridge"}}, "b": {"model": {"primary": "lasso"}}}}, "with 0 empty"),
        ({"seeds": {"one": {}, "two": {"validation": {"seed": 3}}}}, "seed cannot differ"),
        ({"folds": {"ten": {}, "five": {"validation": {"n_folds": 5}}}}, "n_folds cannot differ"),
        ({"outcome": {"pain": {}, "mood": {"outcome": {"column": "mood"}}}}, "cannot differ between universes"),
        ({"people": {"all": {}, "few": {"cohort": {"include": {"site": "a"}}}}}, "include cannot differ"),
        ({"../up": EDGES}, "expected a name"),
        ({"edges": {"correlation": {}, "a/b": {"features": {}}}}, "expected a name"),
        ({"edges": 3}, "expected a table"),
        ({"edges": {"correlation": {}, "partial": {"features": "x"}}}, "expected entries of"),
        ({"confounds": {"a": {}, "b": {"extract": " "}}}, "options of `krp extract`"),
    ],
)
def test_what_cannot_be_an_alternative_is_named(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(axes)


@pytest.mark.parametrize(
    ("universe", "message"), [({"edge": "partial"}, "no axis 'edge'"), ({"edges": "none"}, "no alternative 'none'")]
)
def test_a_listed_universe_that_does_not_exist_is_named(universe: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made({"edges": EDGES}, universes=(universe,))


def test_too_many_universes_are_refused_before_anything_is_read() -> None:
    axes = {f"axis{number}": EDGES for number in range(11)}
    with pytest.raises(ConfigError, match="2048 universes are too many"):
        made(axes)


def test_tables_of_other_extractions_need_a_place() -> None:
    with pytest.raises(ConfigError, match="need `tables`"):
        MultiverseConfig({"confounds": CONFOUNDS})
