"""Requests to the embedded services are counted, and reach the service as they were."""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from local.aws.requests import CountedRequests


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def ask(
    app: CountedRequests, service: str, *, target: str | None = None, body: bytes = b"", method: str = "PUT"
) -> bytes:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=me/20261124/us-east-1/{service}/aws4_request, Signature=0",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    if target:
        environ["HTTP_X_AMZ_TARGET"] = target
    return b"".join(app(environ, lambda *_: None))


def test_requests_are_counted_by_service_and_operation() -> None:
    app = CountedRequests(echo)
    ask(app, "dynamodb", target="DynamoDB_20120810.GetItem")
    ask(app, "s3", body=b"rows")
    ask(app, "s3", method="GET")
    ask(app, "s3", method="GET")
    assert app.counts() == {"dynamodb.GetItem": 1, "s3.PUT": 1, "s3.GET": 2}


def test_a_transactions_items_are_counted_and_its_body_is_left_as_it_was() -> None:
    app = CountedRequests(echo)
    body = json.dumps({"TransactItems": [{}, {}, {}]}).encode()
    assert ask(app, "dynamodb", target="DynamoDB_20120810.TransactWriteItems", body=body) == body
    assert app.counts() == {"dynamodb.TransactWriteItems": 1, "dynamodb.transaction items": 3}


def test_a_request_that_nobody_signed_is_handed_on_uncounted() -> None:
    app = CountedRequests(echo)
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(b"look")}
    assert b"".join(app(environ, lambda *_: None)) == b"look"
    assert app.counts() == {}
