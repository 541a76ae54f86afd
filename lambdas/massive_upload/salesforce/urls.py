"""Which URLs a token or a secret may be sent to."""

import ipaddress
import re
from urllib.parse import urlsplit

_READ_IN_TWO_WAYS = re.compile(r"[\\\x00-\x20\x7f]")
"""Where the host ends is another matter for urllib3, which sends, than for urlsplit, which judges."""


def origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a URL.

    None where it has no host, where it names a user (`https://user@host`), and where it may be read in two ways.
    """
    if _READ_IN_TWO_WAYS.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return None if not host or "@" in parts.netloc else (parts.scheme, host, port)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    found = origin(url)
    if found is None:
        return False
    _, host, _ = found
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_confidential(url: str) -> bool:
    """Whether what is sent there stays private: by https, or by plain http within this machine."""
    found = origin(url)
    return found is not None and (found[0] == "https" or (found[0] == "http" and is_loopback(url)))
