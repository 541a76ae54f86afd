"""Which service a request over HTTP is for.

Defect: moto looks for it in a list of all modules and patterns for every request, which is a third of the time that a
small request takes.
"""

import functools

from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped


def install() -> None:
    """Remembers the service of each host name."""
    replace(DomainDispatcherApplication, "get_backend_for_host", _build_backend_for_host)


def _build_backend_for_host(original: Untyped) -> Untyped:
    @functools.lru_cache(maxsize=256)  # the dispatcher is part of the key; it lives as long as its server
    def backend_for_host(self: Untyped, host: str | None) -> Untyped:
        return original(self, host)

    return backend_for_host
