"""Who can reach the service: this machine only, or others too."""

from __future__ import annotations

from ipaddress import ip_address

from serving.settings import Settings


def is_reached_by_others(settings: Settings) -> bool:
    """Whether somebody on another machine can ask: directly, or by a name that a proxy on this machine hands on."""
    return not all(map(is_loopback, (settings.host, *settings.allowed_hosts)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
