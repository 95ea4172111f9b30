from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from predictor.errors import HostsUnnamedError, ListenerOpenError, UsageError
from serving.access.listening import check_may_listen
from serving.settings import Settings

NAMED = {"allowed_hosts": ("scores.example.org",)}
PROVIDER = {"oidc_issuer": "https://id.example.org", "oidc_audience": "krp"}


def settings(tmp_path: Path, **given: Any) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/service.db", **given)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_this_machine_it_may_listen_without_keys(tmp_path: Path, host: str) -> None:
    check_may_listen(settings(tmp_path, host=host), has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "scores.example.org", "", "localhost.example.org"])
def test_elsewhere_it_may_not_listen_without_keys(tmp_path: Path, host: str) -> None:
    with pytest.raises(ListenerOpenError) as caught:
        check_may_listen(settings(tmp_path, host=host, **NAMED), has_keys=False)
    assert "krp keys create" in caught.value.remedy


@pytest.mark.parametrize("name", ["scores.example.org", "*.example.org", "*", "10.1.2.3"])
def test_behind_a_proxy_on_this_machine_it_may_not_listen_without_keys(tmp_path: Path, name: str) -> None:
    given = settings(tmp_path, allowed_hosts=("127.0.0.1", name))
    with pytest.raises(ListenerOpenError) as caught:
        check_may_listen(given, has_keys=False)
    assert caught.value.where == "KRP_ALLOWED_HOSTS"
    check_may_listen(given, has_keys=True)


@pytest.mark.parametrize("given", [{"require_keys": True}, PROVIDER, {}], ids=["required", "provider", "a key"])
def test_elsewhere_it_may_listen_once_it_asks_who_comes(tmp_path: Path, given: dict[str, Any]) -> None:
    check_may_listen(settings(tmp_path, host="0.0.0.0", **given, **NAMED), has_keys=not given)


def test_elsewhere_it_must_know_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(HostsUnnamedError) as caught:
        check_may_listen(settings(tmp_path, host="0.0.0.0"), has_keys=True)
    assert "KRP_ALLOWED_HOSTS" in caught.value.remedy


@pytest.mark.parametrize(
    "given",
    [{"oidc_issuer": "https://id.example.org"}, {"oidc_audience": "krp"}, PROVIDER | {"oidc_issuer": "http://id.org"}],
    ids=str,
)
def test_half_a_provider_and_one_that_others_can_imitate_stop_the_command(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="expected"):
        check_may_listen(settings(tmp_path, **given), has_keys=True)
