from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jwt import encode

from predictor.errors import CredentialsExpiredError, CredentialsInvalidError, ProviderUnavailableError
from serving.access.provider_keys import ASK_AGAIN_AFTER_S, DISCOVERY, FRESH_FOR_S, ProviderKeys
from serving.access.tokens import LEEWAY_S, TokenVerifier
from serving.model_store import ModelStore
from serving.settings import Settings

Serve = Callable[[Settings, ModelStore], AbstractContextManager[Any]]
AUDIENCE = "krp"
NOW_S = 1_800_000_000.0
# One for all tests: making one takes a while.
RSA_KEY = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
EC_KEY = ECKey.generate_key("P-256", {"kid": "curve", "use": "sig"})
OKP_KEY = OKPKey.generate_key("Ed25519", {"kid": "edwards", "use": "sig"})


class FakeProvider:
    """An OpenID provider on loopback: discovery and keys, and tokens as its users would bring them."""

    def __init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                document = provider.documents.get(self.path)
                self.send_response(302 if isinstance(document, str) else 200 if document else 404)
                if isinstance(document, str):
                    self.send_header("Location", document)
                self.end_headers()
                if isinstance(document, dict):
                    self.wfile.write(json.dumps(document).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realm"
        self.keys: list[dict[str, Any]] = [key.as_dict(private=False) for key in (RSA_KEY, EC_KEY, OKP_KEY)]
        self.documents: dict[str, Any] = {
            f"/realm{DISCOVERY}": {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/realm/keys": {"keys": self.keys},
        }
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.server.shutdown()
            self._thread.join()
            self.server.server_close()

    def claims(self, **changed: Any) -> dict[str, Any]:
        claims = {
            "iss": self.issuer,
            "sub": "user-7",
            "aud": AUDIENCE,
            "exp": NOW_S + 300,
            "iat": NOW_S,
            "scope": "openid krp:score krp:read",
        }
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, *, key: Any = RSA_KEY, alg: str = "RS256", kid: str | None = "", **changed: Any) -> str:
        header = {"alg": alg, "kid": key.kid if kid == "" else kid}
        if kid is None:
            del header["kid"]
        return encode(header, self.claims(**changed), key, algorithms=[alg])


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    running = FakeProvider()
    yield running
    running.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(provider: FakeProvider, clock: Clock) -> TokenVerifier:
    keys = ProviderKeys(provider.issuer, clock=clock)
    return TokenVerifier(keys, issuer=provider.issuer, audience=AUDIENCE, now=clock)


def test_a_token_of_the_provider_lets_its_subject_in_with_its_scopes(
    verifier: TokenVerifier, provider: FakeProvider
) -> None:
    principal, valid_for_s = verifier.verify(provider.token())
    assert principal.scopes == {"score", "read"}
    assert principal.owner.startswith("token:")
    assert valid_for_s == 300 + LEEWAY_S


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA_KEY, "PS256"), (EC_KEY, "ES256"), (OKP_KEY, "Ed25519")], ids=["PS256", "ES256", "Ed25519"]
)
def test_the_other_public_key_algorithms_are_taken_too(
    verifier: TokenVerifier, provider: FakeProvider, key: Any, alg: str
) -> None:
    assert verifier.verify(provider.token(key=key, alg=alg))[0].may("score")


def test_one_subject_stays_one_owner_whose_name_cannot_be_read_from_it(
    verifier: TokenVerifier, provider: FakeProvider
) -> None:
    first = verifier.verify(provider.token())[0].owner
    assert verifier.verify(provider.token(exp=NOW_S + 900))[0].owner == first
    assert verifier.verify(provider.token(sub="user-8"))[0].owner != first
    assert "user" not in first
    assert len(first) == len("token:") + 16


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"scope": "krp:admin"}, {"admin"}),
        ({"scope": None, "scp": ["krp:score", 7]}, {"score"}),
        ({"scope": None, "scp": "krp:read"}, {"read"}),
        ({"scope": None}, set()),
        ({"scope": "score read admin krp:everything xkrp:score"}, set()),
        ({"scope": {"krp:admin": True}}, set()),
    ],
)
def test_scopes_come_from_our_own_words_in_scope_and_scp(
    verifier: TokenVerifier, provider: FakeProvider, claims: dict[str, Any], expected: set[str]
) -> None:
    assert verifier.verify(provider.token(**claims))[0].scopes == expected


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another service"},
        {"aud": None},
        {"aud": []},
        {"aud": ["a", "b"]},
        {"iss": "https://elsewhere.example.org"},
        {"iss": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": NOW_S + 2 * LEEWAY_S},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_for_others_from_others_or_without_an_end_is_turned_away(
    verifier: TokenVerifier, provider: FakeProvider, claims: dict[str, Any]
) -> None:
    with pytest.raises(CredentialsInvalidError, match="claim"):
        verifier.verify(provider.token(**claims))


def test_one_of_several_audiences_may_be_this_service(verifier: TokenVerifier, provider: FakeProvider) -> None:
    assert verifier.verify(provider.token(aud=["another", AUDIENCE]))[0].may("read")


def test_a_token_ends_shortly_after_its_time_and_says_so(
    verifier: TokenVerifier, provider: FakeProvider, clock: Clock
) -> None:
    token = provider.token()
    clock.now_s += 300 + LEEWAY_S - 1
    assert verifier.verify(token)[1] == 1
    clock.now_s += 2
    with pytest.raises(CredentialsExpiredError):
        verifier.verify(token)


def _encoded(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("signature", ["", "AAAA"])
@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_an_unsigned_token_is_turned_away(
    verifier: TokenVerifier, provider: FakeProvider, alg: str, signature: str
) -> None:
    token = f"{_encoded({'alg': alg, 'kid': 'first'})}.{_encoded(provider.claims())}.{signature}"
    with pytest.raises(CredentialsInvalidError):
        verifier.verify(token)


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_the_public_key_does_not_work_as_a_shared_secret(
    verifier: TokenVerifier, provider: FakeProvider, form: str
) -> None:
    public = RSA_KEY.as_dict(private=False)
    secret = {"pem": RSA_KEY.as_pem(private=False), "der": RSA_KEY.as_der(private=False)}.get(form) or json.dumps(
        public
    ).encode()
    signed = f"{_encoded({'alg': 'HS256', 'kid': 'first'})}.{_encoded(provider.claims())}"
    seal = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    with pytest.raises(CredentialsInvalidError, match="algorithm"):
        verifier.verify(f"{signed}.{seal}")


def test_a_symmetric_key_in_the_providers_list_is_not_used(verifier: TokenVerifier, provider: FakeProvider) -> None:
    secret = b"s" * 32
    provider.keys.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")})
    signed = f"{_encoded({'alg': 'HS256', 'kid': 'shared'})}.{_encoded(provider.claims())}"
    seal = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    with pytest.raises(CredentialsInvalidError):
        verifier.verify(f"{signed}.{seal}")


def test_a_changed_token_is_turned_away(verifier: TokenVerifier, provider: FakeProvider) -> None:
    head, _, seal = provider.token().split(".")
    forged = f"{head}.{_encoded(provider.claims(scope='krp:admin'))}.{seal}"
    with pytest.raises(CredentialsInvalidError, match="signature"):
        verifier.verify(forged)


def test_a_key_that_the_token_brings_itself_is_not_used(verifier: TokenVerifier, provider: FakeProvider) -> None:
    own = RSAKey.generate_key(2048, {"kid": "own"})
    for header in ({"jwk": own.as_dict(private=False)}, {"jku": f"{provider.issuer}/own"}):
        token = encode({"alg": "RS256", "kid": "first", **header}, provider.claims(), own, algorithms=["RS256"])
        with pytest.raises(CredentialsInvalidError):
            verifier.verify(token)
    assert "/realm/own" not in provider.asked


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d.e", "..", "a.b.c", "ä.b.c", "a.b.c\n", "a" * 20_000 + ".b.c"])
def test_what_is_no_token_is_turned_away_without_asking_the_provider(
    verifier: TokenVerifier, provider: FakeProvider, token: str
) -> None:
    with pytest.raises(CredentialsInvalidError):
        verifier.verify(token)
    assert len(provider.asked) <= 2


def test_no_fault_repeats_what_stands_in_the_token(verifier: TokenVerifier, provider: FakeProvider) -> None:
    with pytest.raises(CredentialsInvalidError) as caught:
        verifier.verify(provider.token(aud="Jane Roe, born 1980", sub="Jane Roe"))
    assert "Jane" not in str(caught.value)


def test_the_provider_is_asked_once_for_many_tokens(verifier: TokenVerifier, provider: FakeProvider) -> None:
    for number in range(20):
        verifier.verify(provider.token(sub=f"user-{number}"))
    assert provider.asked == [f"/realm{DISCOVERY}", "/realm/keys"]


def test_a_rotated_key_is_fetched_when_the_first_token_names_it(
    verifier: TokenVerifier, provider: FakeProvider, clock: Clock
) -> None:
    verifier.verify(provider.token())
    new = ECKey.generate_key("P-256", {"kid": "second", "use": "sig"})
    provider.keys[:] = [new.as_dict(private=False)]
    clock.now_s += ASK_AGAIN_AFTER_S
    assert verifier.verify(provider.token(key=new, alg="ES256"))[0].may("score")
    with pytest.raises(CredentialsInvalidError, match="does not list"):
        verifier.verify(provider.token())


def test_tokens_with_made_up_keys_do_not_make_us_ask_the_provider_each_time(
    verifier: TokenVerifier, provider: FakeProvider
) -> None:
    for number in range(20):
        with pytest.raises(CredentialsInvalidError):
            verifier.verify(provider.token(kid=f"made up {number}"))
    assert len(provider.asked) == 2


def test_a_token_without_a_key_id_is_turned_away_where_the_provider_has_several(
    verifier: TokenVerifier, provider: FakeProvider
) -> None:
    with pytest.raises(CredentialsInvalidError, match="does not list"):
        verifier.verify(provider.token(kid=None))


def test_while_the_provider_is_down_from_the_start_nobody_is_let_in_and_the_fault_is_ours(
    verifier: TokenVerifier, provider: FakeProvider
) -> None:
    token = provider.token()
    provider.stop()
    with pytest.raises(ProviderUnavailableError):
        verifier.verify(token)


def test_while_the_provider_is_down_its_last_keys_are_trusted_for_an_hour(
    verifier: TokenVerifier, provider: FakeProvider, clock: Clock
) -> None:
    verifier.verify(provider.token())
    provider.stop()
    clock.now_s += FRESH_FOR_S
    assert verifier.verify(provider.token(exp=clock.now_s + 60))[0].may("score")
    with pytest.raises(ProviderUnavailableError):
        verifier.verify(provider.token(kid="unknown", exp=clock.now_s + 60))
    clock.now_s += 3600
    with pytest.raises(ProviderUnavailableError):
        verifier.verify(provider.token(exp=clock.now_s + 60))


@pytest.mark.parametrize(
    "damage", ["another issuer", "no keys", "insecure keys", "moved", "no discovery", "not a list"]
)
def test_a_provider_that_does_not_say_what_it_should_is_as_good_as_down(
    verifier: TokenVerifier, provider: FakeProvider, damage: str
) -> None:
    discovery = provider.documents[f"/realm{DISCOVERY}"]
    match damage:
        case "another issuer":
            discovery["issuer"] = "https://elsewhere.example.org"
        case "no keys":
            provider.keys.clear()
        case "insecure keys":
            discovery["jwks_uri"] = "http://elsewhere.example.org/keys"
        case "moved":
            provider.documents["/realm/moved"] = {"keys": list(provider.keys)}
            provider.documents["/realm/keys"] = f"{provider.issuer}/moved"
        case "no discovery":
            provider.documents.clear()
        case "not a list":
            provider.documents["/realm/keys"] = {"keys": 7}
    with pytest.raises(ProviderUnavailableError):
        verifier.verify(provider.token())
    assert "/realm/moved" not in provider.asked


def test_over_http_a_token_works_like_a_key_and_a_provider_that_is_down_is_told_apart(
    serve: Serve, store: ModelStore, provider: FakeProvider
) -> None:
    settings = Settings(refresh_s=0, oidc_issuer=provider.issuer, oidc_audience=AUDIENCE)
    now_s = time.time()
    with serve(settings, store) as service, service.client() as client:

        def ask(path: str, **claims: Any) -> httpx.Response:
            token = provider.token(**({"exp": now_s + 300, "iat": now_s} | claims))
            return client.get(path, headers={"Authorization": f"Bearer {token}"})

        assert client.get("/v1/results").status_code == 401
        assert ask("/v1/results").status_code == 200
        refused = [ask("/v1/results", aud="another"), ask("/v1/results", exp=now_s - 300), ask("/v1/audit")]
        assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
            (401, "credentials-invalid"),
            (401, "credentials-expired"),
            (403, "scope-missing"),
        ]
        provider.stop()
        assert ask("/v1/results", sub="somebody new").status_code == 200  # by the keys it has
    assert ask_freshly_started(serve, store, provider).json()["code"] == "identity-provider-unavailable"


def ask_freshly_started(serve: Serve, store: ModelStore, provider: FakeProvider) -> httpx.Response:
    """Return what a service answers that never reached its provider."""
    settings = Settings(refresh_s=0, oidc_issuer=provider.issuer, oidc_audience=AUDIENCE)
    with serve(settings, store) as service, service.client() as client:
        headers = {"Authorization": f"Bearer {provider.token(exp=time.time() + 300, iat=None)}"}
        response = client.get("/v1/results", headers=headers)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    return response
