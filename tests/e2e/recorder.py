"""Writes down what the functions ask of the embedded AWS, and what passes between them and the state machines."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from infra.functions import FUNCTIONS
from local.aws import hooks
from local.aws.active import InvocationResult
from local.aws.functions import Functions
from local.aws.identity import function_access_key
from tests.integration.usecases.roles import TRANSACTION_VERBS

_SIGNED_BY = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")


@dataclass
class Recorder:
    """What was seen.

    Attributes:
        calls: (function, IAM action, resource), where the resource is as the request names it.
        payloads: what functions were given and what they answered.
    """

    calls: set[tuple[str, str, str]] = field(default_factory=set)
    payloads: list[str] = field(default_factory=list)

    def see_request(self, environ: dict[str, Any]) -> None:
        signed = _SIGNED_BY.search(environ.get("HTTP_AUTHORIZATION", ""))
        caller = _function_of(signed[1]) if signed else None
        if signed and caller:
            self.calls |= {(caller, action, resource) for action, resource in _actions(signed[2], environ)}


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record until the end of the block."""
    recorder = Recorder()
    hooks.install()  # before the patches below: a hook is there to stay, they are taken back
    answer, invoke = DomainDispatcherApplication.__call__, Functions.invoke

    def seen(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        recorder.see_request(environ)
        return answer(self, environ, start_response)

    def heard(self: Functions, function: Any, payload: bytes) -> InvocationResult:
        result = invoke(self, function, payload)
        recorder.payloads += [payload.decode(), result.payload.decode()]
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DomainDispatcherApplication, "__call__", seen)
        patch.setattr(Functions, "invoke", heard)
        yield recorder


def _function_of(access_key: str) -> str | None:
    for spec in FUNCTIONS:
        if re.fullmatch(re.escape(function_access_key("")) + rf"\w+-Functions{spec.name}[0-9A-F]{{8}}-\w+", access_key):
            return spec.name
    return None


def _actions(service: str, environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    path: str = environ["PATH_INFO"]
    if service == "s3":
        verb = {"GET": "GetObject", "PUT": "PutObject"}[environ["REQUEST_METHOD"]]
        yield f"s3:{verb}", path.lstrip("/")
        return
    if service == "lambda":
        yield "lambda:InvokeFunction", path.split("/")[3]
        return
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(body)
    request = json.loads(body)
    operation = environ["HTTP_X_AMZ_TARGET"].partition(".")[2]
    if operation == "TransactWriteItems":
        for action in request["TransactItems"]:
            ((kind, item),) = action.items()
            yield f"dynamodb:{TRANSACTION_VERBS[kind]}", item["TableName"]
        return
    if operation == "BatchGetItem":
        for table in request["RequestItems"]:
            yield f"dynamodb:{operation}", table
        return
    names = {"dynamodb": "TableName", "secretsmanager": "SecretId", "states": "executionArn"}
    yield f"{service}:{operation}", request[names[service]]
