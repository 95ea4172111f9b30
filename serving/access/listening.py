"""Where the service may listen: on this machine freely, elsewhere only when it knows who asks."""

from __future__ import annotations

from predictor.errors import HostsUnnamedError, ListenerOpenError
from serving.access.loopback import is_loopback, is_reached_by_others
from serving.settings import Settings

_HOST, _NAMES = "--host or KRP_HOST", "KRP_ALLOWED_HOSTS"


def check_may_listen(settings: Settings, *, has_keys: bool) -> None:
    """Refuse to listen where others reach the service and nobody is asked for a key, or with half a provider named.

    Parameters
    ----------
    settings
        Where it would listen, and what it asks for.
    has_keys
        Whether a key was ever made; its expiry does not open the service again.

    Raises
    ------
    ListenerOpenError
        If others reach it, and everybody would be let in.
    HostsUnnamedError
        If the address is not a loopback address, and the settings do not say by which names others reach it.
    UsageError
        If only one of the provider's issuer and audience is named, or its address is not private.
    """
    if settings.oidc_issuer or settings.oidc_audience:
        from serving.access.access_control import token_verifier_of

        token_verifier_of(settings)
    is_here = is_loopback(settings.host)
    if is_reached_by_others(settings) and not (has_keys or settings.require_keys or settings.oidc_issuer):
        expected = "a loopback address such as 127.0.0.1" if not is_here else "names of this machine only"
        found = settings.host if not is_here else "one by which others come through a proxy"
        raise ListenerOpenError(
            f"expected {expected} while there are no keys, found {found}.", where=_NAMES if is_here else _HOST
        )
    if not is_here and all(map(is_loopback, settings.allowed_hosts)):
        raise HostsUnnamedError(f"expected the names by which others reach {settings.host}, found none.", where=_NAMES)
