from __future__ import annotations

import pytest

from serving.access.loopback import is_loopback, is_reached_by_others
from serving.settings import Settings


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_this_machine_is_told_from_others(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here


def test_a_name_that_a_proxy_hands_on_lets_others_in() -> None:
    assert not is_reached_by_others(Settings(host="127.0.0.1"))
    assert is_reached_by_others(Settings(host="127.0.0.1", allowed_hosts=["predictor.example.org"]))
    assert is_reached_by_others(Settings(host="0.0.0.0"))
