"""What the deployment files promise: nothing runs as root, nothing secret stands in them, what they name exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from predictor.__main__ import build_parser
from predictor.service_client import KEY_VARIABLE
from serving.operation.metrics import ServiceMetrics
from serving.settings import Settings


@pytest.fixture
def compose(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((project / "compose.yaml").read_text())
    return found


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs/deployment.md").read_text()


@pytest.mark.parametrize("name", ["service", "mlflow", "database"])
def test_no_container_runs_as_root_or_writes_outside_its_volumes(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert not service["user"].startswith("0")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_only_loopback_of_the_machine_leads_inside(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert compose["services"]["database"]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"] is True


def test_no_password_stands_in_the_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("password|secret|token", name, re.IGNORECASE) or value.startswith("/run/secrets/")
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value))


def test_the_settings_of_the_container_are_settings_of_the_service(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {name: value for name, value in compose["services"]["service"]["environment"].items() if "KRP_" in name}
    for name, value in settings.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
    read = Settings()
    assert {name.removeprefix("KRP_").lower() for name in settings} <= set(Settings.model_fields)
    assert read.require_keys
    assert "scores.example.org" in read.allowed_hosts


def test_the_grace_period_is_longer_than_the_service_needs_to_stop(compose: dict[str, Any]) -> None:
    grace_s = int(compose["services"]["service"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > Settings(database_url="sqlite:///unused.db").shutdown_s


def test_every_setting_that_the_page_names_exists(page: str) -> None:
    named = {name.lower() for name in re.findall(r"KRP_([A-Z_]+[A-Z])", page)}
    assert len(named) > 10
    assert named <= {*Settings.model_fields, KEY_VARIABLE.removeprefix("KRP_").lower()}, "or what a program is given"


def test_every_metric_that_the_page_names_exists(page: str) -> None:
    metrics = ServiceMetrics()
    known = {family.name for family in metrics.registry.collect()}
    named = {name.removesuffix("_total") for name in re.findall(r"`(krp_[a-z_]+)", page)}
    assert len(named) > 5
    assert named <= known


def test_every_command_of_the_page_is_one(page: str) -> None:
    lines = [line for block in re.findall(r"```sh[^\n]*\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    commands = [
        line[line.index("krp ") :].split(" >")[0]
        for line in lines
        if re.search(r"(^|\s)krp (?!@)", line) and "://krp@" not in line
    ]
    assert len(commands) >= 6
    for command in commands:
        build_parser().parse_args(shlex.split(command)[1:])
