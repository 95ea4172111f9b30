"""The two cookies of the pages: of who signed in, and of a browser while nobody needs to.

Neither is readable by scripts. The first never comes with a request that another site's page started; the second comes
along when somebody follows a link to here, or their history would begin anew.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from starlette.datastructures import URL
from starlette.types import Scope

from serving.access.loopback import is_loopback
from serving.access.principal import SCOPES, Principal
from serving.access.sign_ins import SIGNED_IN_FOR

SIGN_IN_COOKIE = "krp_sign_in"
BROWSER_COOKIE = "krp_browser"
_ONE_YEAR_S = 365 * 24 * 3600
_BROWSER_BYTES = 16
_BROWSER = re.compile(r"[A-Za-z0-9_-]{22}")


def cookie_of(header: str, name: str) -> str | None:
    """Return one cookie of a request's header."""
    for item in header.split(";"):
        key, _, value = item.strip().partition("=")
        if key == name:
            return value
    return None


def new_browser() -> str:
    """Return a value that nobody can guess, for a browser that comes for the first time."""
    return secrets.token_urlsafe(_BROWSER_BYTES)


def browser_principal(cookie: str | None) -> Principal | None:
    """Return whose browser it is while no keys are asked for; None if the cookie is missing, or not one of ours."""
    if cookie is None or not _BROWSER.fullmatch(cookie):
        return None
    return Principal(f"browser:{hashlib.sha256(cookie.encode()).hexdigest()[:16]}", frozenset(SCOPES))


def set_sign_in(value: str, scope: Scope) -> str:
    """Return the header that signs a browser in; an empty value signs it out."""
    age_s = int(SIGNED_IN_FOR.total_seconds()) if value else 0
    return _set_cookie(SIGN_IN_COOKIE, value, scope, age_s=age_s, same_site="Strict")


def set_browser(value: str, scope: Scope) -> str:
    """Return the header by which a browser is known again."""
    return _set_cookie(BROWSER_COOKIE, value, scope, age_s=_ONE_YEAR_S, same_site="Lax")


def _set_cookie(name: str, value: str, scope: Scope, *, age_s: int, same_site: str) -> str:
    secure = "; Secure" if _must_be_secure(scope) else ""
    return f"{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite={same_site}{secure}"


def _must_be_secure(scope: Scope) -> bool:
    """Whether the cookie may travel encrypted only: everywhere but on this machine, where nobody listens."""
    url = URL(scope=scope)
    return url.scheme == "https" or not is_loopback((url.hostname or "").strip("[]"))
