from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from predictor.errors import ProviderUnavailableError, UsageError
from serving.access.provider_keys import (
    ASK_AGAIN_AFTER_S,
    FRESH_FOR_S,
    MAX_DOCUMENT_BYTES,
    TRUSTED_FOR_S,
    ProviderKeys,
    fetch_json,
)

ISSUER = "https://id.example.org"
KEY = ECKey.generate_key("P-256", {"kid": "a"}).as_dict(private=False)


class FakeNet:
    """Stands for the network: gives the two documents, or fails."""

    def __init__(self) -> None:
        self.is_down = False
        self.n_asked = 0
        self.keys: list[Any] = [KEY]
        self.now_s = 0.0

    def fetch(self, address: str) -> Any:
        self.n_asked += 1
        if self.is_down:
            raise OSError("unreachable")
        return {"keys": self.keys} if address.endswith("/keys") else {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def net() -> FakeNet:
    return FakeNet()


@pytest.fixture
def keys(net: FakeNet) -> ProviderKeys:
    return ProviderKeys(ISSUER, fetch=net.fetch, clock=net.clock)


def test_keys_are_fetched_anew_once_they_are_old(keys: ProviderKeys, net: FakeNet) -> None:
    keys.current()
    net.now_s = FRESH_FOR_S - 1
    keys.current()
    assert net.n_asked == 2
    net.now_s = FRESH_FOR_S
    keys.current()
    assert net.n_asked == 4


def test_a_provider_that_is_down_is_not_asked_by_every_request(keys: ProviderKeys, net: FakeNet) -> None:
    net.is_down = True
    for _ in range(10):
        with pytest.raises(ProviderUnavailableError):
            keys.current()
    assert net.n_asked == 1
    net.now_s, net.is_down = ASK_AGAIN_AFTER_S, False
    assert len(keys.current().keys) == 1


def test_old_keys_are_trusted_for_a_while_and_not_longer(keys: ProviderKeys, net: FakeNet) -> None:
    keys.current()
    net.is_down = True
    net.now_s = TRUSTED_FOR_S - 1
    assert len(keys.current().keys) == 1
    net.now_s = TRUSTED_FOR_S
    with pytest.raises(ProviderUnavailableError):
        keys.current()


def test_keys_for_encryption_and_symmetric_ones_are_left_out(keys: ProviderKeys, net: FakeNet) -> None:
    net.keys = [KEY, {**KEY, "kid": "b", "use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "c"}, "no key"]
    assert [key.kid for key in keys.current().keys] == ["a"]


@pytest.mark.parametrize("about", [{"issuer": ISSUER, "jwks_uri": 5}, {"issuer": ISSUER}, [ISSUER], None])
def test_a_provider_that_describes_itself_wrongly_is_unavailable(about: Any) -> None:
    with pytest.raises(ProviderUnavailableError):
        ProviderKeys(ISSUER, fetch=lambda address: about).current()


@pytest.mark.parametrize(
    "issuer", ["http://id.example.org", "file:///etc/passwd", "id.example.org", "", "http://0.0.0.0", "ftp://127.0.0.1"]
)
def test_an_issuer_whose_answers_others_could_change_is_refused(issuer: str) -> None:
    with pytest.raises(UsageError, match="https"):
        ProviderKeys(issuer)


def test_a_document_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, n_bytes: int) -> bytes:
            assert n_bytes == MAX_DOCUMENT_BYTES + 1
            return b" " * n_bytes

    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: Endless())
    with pytest.raises(ValueError, match="too large"):
        fetch_json(f"{ISSUER}/keys")
