"""Who a request is from when it has no key: an address, as far as it can be believed."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORWARDED_FOR: Final = b"x-forwarded-for"
_MAX_HOPS: Final = 32
_IPV6_CLIENT_BITS: Final = 64
"""Whoever has one address of a network of this size has all of them (RFC 6177)."""

UNKNOWN: Final = "unknown"


def client_of(peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """The address that a request comes from.

    Of `X-Forwarded-For` each proxy appends whom it heard from, and whoever sends a request can write what it likes in
    front of that. So it is read from its end, as long as trusted proxies have written it.

    Args:
        peer: of the connection; None where it has no address.
        headers: of the request.
        trusted: networks whose word is taken.

    Returns:
        an IPv4 address, the /64 network of an IPv6 address, or `UNKNOWN`.
    """
    address = _address(peer or "")
    hops = [hop for name, value in headers if name == _FORWARDED_FOR for hop in value.decode("latin-1").split(",")]
    for hop in reversed(hops[-_MAX_HOPS:]):
        if address is None or not any(address in network for network in trusted):
            break
        forwarded = _address(hop.strip())
        if forwarded is None:
            break
        address = forwarded
    return UNKNOWN if address is None else _named(address)


def _named(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
