"""Which addresses the service may call. Pure: nothing here resolves a name or opens a socket.

`check_url` is the courtesy at submission: syntax and literal addresses. What a name resolves to is judged where the
socket is opened (`session`), since the answer can change between two look-ups.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from meshroom_tasks.errors import AddressNotAllowed, UrlInvalid

MAX_URL_LENGTH = 2048

# The IANA special-purpose registries, multicast, and Azure's host address. Written out, because what
# `ipaddress.is_global` says has changed between patch releases of Python. All forms that carry an IPv4 address inside
# an IPv6 one (mapped, NAT64, 6to4, Teredo) are denied whole: what such an address reaches depends on the network.
_DENIED = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
            *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        ),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

# Names that only ever mean the machine itself, its cloud's metadata service or a private network.
_PRIVATE_NAMES = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "metadata", "metadata.goog", "instance-data"})
_PRIVATE_SUFFIXES = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa")

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_NUMERIC_LABEL = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?):[1-9][0-9]{0,4}")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# What most URLs look like: nothing in them that requests would change, or that two parsers could read differently.
_PLAIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9][a-z0-9.-]*)(:(?P<port>[1-9][0-9]{0,3}))?(/[\w.~!$&'()*+,;=:/%-]*)?"
    r"(\?[\w.~!$&'()*+,;=:/?%-]*)?",
    re.ASCII,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Egress:
    """What outgoing requests may reach: public addresses, and the private hosts that an operator vouches for.

    `private_hosts` are exact `host:port` pairs, lower case, an IPv6 address in brackets: `minio:9000`, `[fd00::7]:80`.
    """

    private_hosts: frozenset[str] = frozenset()

    @classmethod
    def to(cls, private_hosts: Iterable[str]) -> Egress:
        """A policy from settings; ValueError where one of them is no exact `host:port`."""
        hosts = frozenset(host.strip().lower() for host in private_hosts)
        for host in hosts:
            if not _HOST_AND_PORT.fullmatch(host):
                raise ValueError(f"{host!r} must be an exact host:port, like minio:9000 or [fd00::7]:80")
        return cls(hosts)

    def vouches_for(self, host: str, port: int) -> bool:
        """Is this host (without brackets) and port one of `private_hosts`?"""
        host = host.rstrip(".").lower()
        return f"[{host}]:{port}" in self.private_hosts if ":" in host else f"{host}:{port}" in self.private_hosts

    def judge(self, host: str, port: int, address: str) -> None:
        """Raise AddressNotAllowed unless `address`, one of the answers for `host`, may be connected to."""
        if not self.vouches_for(host, port) and not is_public(address):
            raise AddressNotAllowed


def is_public(address: str) -> bool:
    """Is this IP address (an IPv6 one perhaps with a zone) one of the public internet?"""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in network for network in _DENIED if network.version == ip.version)


def check_url(url: str, egress: Egress, *, max_length: int = MAX_URL_LENGTH) -> None:
    """Refuse a URL that is malformed or names an address that is not allowed; resolves nothing.

    Raises UrlInvalid with what is wrong, or AddressNotAllowed.
    """
    host, port = _host_and_port(url, max_length)
    if egress.vouches_for(host, port):
        return
    name = host.rstrip(".").lower()
    if name in _PRIVATE_NAMES or name.endswith(_PRIVATE_SUFFIXES):
        raise AddressNotAllowed
    address = _literal_address(name)
    if address is not None and not is_public(str(address)):
        raise AddressNotAllowed


def redact(url: str) -> str:
    """The URL for logs: no user info, query or fragment (a presigned URL's query is a secret), nothing unprintable."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "<malformed URL>"
    host = f"[{host}]" if ":" in host else host
    text = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}{'?…' if parts.query else ''}"
    printable = "".join("\N{REPLACEMENT CHARACTER}" if _is_unsafe(character) else character for character in text)
    return printable if len(printable) <= 200 else f"{printable[:199]}…"


def _host_and_port(url: str, max_length: int) -> tuple[str, int]:
    """The host (brackets removed) and port that a request for `url` would connect to."""
    if len(url) > max_length:
        raise UrlInvalid(f"The URL is longer than {max_length} characters; use a shorter one.")
    if (plain := _PLAIN.fullmatch(url)) is not None:
        return plain["host"], int(plain["port"] or _DEFAULT_PORTS[plain["scheme"]])
    if any(map(_is_unsafe, url)) or "\\" in url:
        raise UrlInvalid("The URL contains white space, a control character or a backslash; percent-encode it.")
    if not url.lower().startswith(("http://", "https://")):
        raise UrlInvalid("The URL must begin with http:// or https://.")
    try:
        typed = urlsplit(url)
        if "@" in typed.netloc:
            raise UrlInvalid("The URL must not contain a user name or password; use a presigned URL instead.")
        # Host names are judged in the form that requests sends them in (IDNA, case, full-width digits).
        prepared = requests.Request("GET", url).prepare().url or ""
        seen, other = parse_url(prepared), urlsplit(prepared)
        host, port = (seen.host or "").strip("[]"), seen.port
        agreed = other.hostname is not None and host.lower() == other.hostname.lower() and port == other.port
    except (requests.RequestException, LocationParseError, ValueError):
        raise UrlInvalid("The URL cannot be parsed; check its host and port.") from None
    if "%" in host and ":" in host:
        raise AddressNotAllowed  # a zone: an address on one of this machine's own links
    if not host or not agreed or "%" in host or typed.port == 0:
        raise UrlInvalid("The URL has no valid host and port.")
    return host, port if port is not None else _DEFAULT_PORTS[seen.scheme or "http"]


def _literal_address(host: str) -> Address | None:
    """The IP address that `host` spells in a form that resolvers take (127.1, 0x7f000001, 017700000001); else None."""
    try:
        if ":" in host:
            return ipaddress.IPv6Address(host)
        if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
            return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        raise UrlInvalid("The URL's host looks like an IP address but is not a valid one.") from None
    return None


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE_CATEGORIES
