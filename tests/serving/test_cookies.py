from __future__ import annotations

from typing import Any

import pytest

from serving.access.cookies import browser_principal, cookie_of, new_browser, set_browser, set_sign_in


def scope(host: str = "127.0.0.1:8000", scheme: str = "http") -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    return {"type": "http", "path": "/", "query_string": b"", "scheme": scheme, "headers": headers}


def test_one_cookie_is_found_among_others() -> None:
    assert cookie_of("a=1; krp_sign_in=x=y; krp_sign_in_too=z", "krp_sign_in") == "x=y"
    assert cookie_of("xkrp_sign_in=1", "krp_sign_in") is None
    assert cookie_of("", "krp_sign_in") is None


def test_a_browser_is_known_again_by_an_owner_that_does_not_give_its_cookie_away() -> None:
    cookie = new_browser()
    found, again = browser_principal(cookie), browser_principal(cookie)
    assert found is not None
    assert found == again != browser_principal(new_browser())
    assert found.owner.startswith("browser:")
    assert cookie not in found.owner
    assert not found.is_signed_in


@pytest.mark.parametrize("cookie", [None, "", "short", "A" * 23, "A" * 21 + "!", "A" * 21 + "\n"])
def test_a_cookie_that_we_did_not_make_is_nobodys(cookie: str | None) -> None:
    assert browser_principal(cookie) is None


def test_no_script_reads_the_cookies_and_no_other_sites_page_sends_the_one_of_who_signed_in() -> None:
    assert set_sign_in("value", scope()) == "krp_sign_in=value; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
    assert "HttpOnly; SameSite=Lax" in set_browser("value", scope())


def test_signing_out_ends_the_cookie() -> None:
    assert "Max-Age=0" in set_sign_in("", scope())


@pytest.mark.parametrize(
    ("host", "scheme", "is_secure"),
    [
        ("127.0.0.1:8000", "http", False),
        ("localhost", "http", False),
        ("[::1]:8000", "http", False),
        ("127.0.0.1", "https", True),
        ("scores.example.org", "http", True),
        ("scores.example.org", "https", True),
    ],
)
def test_elsewhere_than_on_this_machine_the_cookie_travels_encrypted_only(
    host: str, scheme: str, is_secure: bool
) -> None:
    assert ("; Secure" in set_sign_in("value", scope(host, scheme))) == is_secure
