"""Which service a request over HTTP is for, and what a request that breaks moto is answered.

Defects: moto looks for the service in a list of all modules and patterns for every request, which is a third of the
time that a small request takes; a request that breaks moto is answered with a page that does not say why.
"""

import functools
import json
import logging
import traceback

from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_log = logging.getLogger(__name__)


def install() -> None:
    """Remembers the service of each host name, and answers a broken request as AWS does, with the reason."""
    replace(DomainDispatcherApplication, "get_backend_for_host", _build_backend_for_host)
    replace(DomainDispatcherApplication, "__call__", _build_call)


def _build_backend_for_host(original: Untyped) -> Untyped:
    @functools.lru_cache(maxsize=256)  # the dispatcher is part of the key; it lives as long as its server
    def backend_for_host(self: Untyped, host: str | None) -> Untyped:
        return original(self, host)

    return backend_for_host


def _build_call(original: Untyped) -> Untyped:
    def call(self: Untyped, environ: Untyped, start_response: Untyped) -> Untyped:
        try:
            return original(self, environ, start_response)
        except Exception as error:  # noqa: BLE001 - whatever broke, whoever asked is to read it
            _log.error("The embedded AWS could not answer a request.", exc_info=error)
            place = traceback.extract_tb(error.__traceback__)[-1]
            message = f"The embedded AWS failed: {error!r} in {place.name}, {place.filename}:{place.lineno}"
            body = json.dumps({"__type": "InternalFailure", "message": message}).encode()
            headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(body)))]
            start_response("500 Internal Server Error", headers)
            return [body]

    return call
