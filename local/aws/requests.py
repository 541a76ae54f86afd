"""Counts what is asked of the embedded services: on AWS each request, and each item of a transaction, is billed."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

_SERVICE = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/aws4_request")
_TRANSACTION = "TransactWriteItems"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class CountedRequests:
    """A WSGI application that counts the requests to another one and hands them on.

    Requests are counted as `service.operation`, e.g. `dynamodb.GetItem`; where no header names the operation, as in S3,
    by their method, e.g. `s3.PUT`. The items of DynamoDB's transactions are counted as `dynamodb.transaction items`.

    Args:
        app: the application.
    """

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Counts one request."""
        service = _SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if service:
            operation = environ.get("HTTP_X_AMZ_TARGET", environ["REQUEST_METHOD"]).rpartition(".")[2]
            items = _transaction_items(environ) if operation == _TRANSACTION else 0
            with self._lock:
                self._counts[f"{service[1]}.{operation}"] += 1
                if items:
                    self._counts["dynamodb.transaction items"] += items
        return self._app(environ, start_response)

    def counts(self) -> Mapping[str, int]:
        """Returns how many there were of each."""
        with self._lock:
            return dict(self._counts)


def _transaction_items(environ: dict[str, Any]) -> int:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = BytesIO(body)
    return len(json.loads(body)["TransactItems"])
