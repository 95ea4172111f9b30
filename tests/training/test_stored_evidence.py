from __future__ import annotations

from collections.abc import Callable

import pytest

from predictor.errors import RunDeletedError
from training.log_book.tracking import Store
from training.shelf.registry import RegisteredVersion
from training.shelf.stored_evidence import primary_named_in, read_evidence


@pytest.mark.parametrize(
    ("text", "primary"),
    [
        ('name = "trial"', "elastic_net"),
        ('[model]\nprimary = "ridge"', "ridge"),
        ('[model]\nprimary = "ridge"\n# --set model.primary=lasso\n', "lasso"),
        ('[model]\nprimary = "ridge"\n# --set model.primary="lasso"\n', "lasso"),
        ('[model]\nprimary = "ridge"\n# --set model.compete=true\n', None),
        ("[model]\ncompete = true", None),
        ('[model]\nprimary = ""', None),
        ("no TOML [", None),
    ],
)
def test_the_primary_is_read_from_the_experiment_file_as_it_was_run(text: str, primary: str | None) -> None:
    assert primary_named_in(text.encode()) == primary


def test_the_run_its_file_and_the_runs_of_its_models_are_read_back(
    shelf: Store, put_on_shelf: Callable[..., RegisteredVersion]
) -> None:
    version = put_on_shelf(shelf, "evidence")
    run_id = shelf.client.get_model_version("evidence", version.version).run_id
    evidence = read_evidence(shelf, run_id)
    assert evidence.config_digest == evidence.tags["config_digest"]
    assert evidence.roles == {"elastic_net": "primary", "constant": "baseline"}
    shelf.client.delete_run(run_id)
    with pytest.raises(RunDeletedError):
        read_evidence(shelf, run_id)
