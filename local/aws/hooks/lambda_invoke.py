"""Running Lambda functions.

Defects: without Docker, moto runs no code and echoes the payload. Task states reach Lambda through a client and JSON
twice; here they call the service in this process.
"""

import json
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda_simple.models import LambdaSimpleBackend, lambda_simple_backends
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from local.aws.active import active
from local.aws.hooks.patching import replace
from local.aws.identity import ACCOUNT_ID
from local.aws.untyped import Untyped


def install() -> None:
    """Sends invocations from HTTP and from Task states to the Lambda service."""
    replace(LambdaSimpleBackend, "invoke", _build_invoke)
    replace(lambda_eval_utils, "_invoke_lambda_function", _build_task_invoke)


def _build_invoke(original: Untyped) -> Untyped:
    def invoke(
        self: Untyped,
        function_name: str,
        qualifier: str | None,
        body: Untyped,
        headers: Untyped,
        response_headers: dict[str, str],
    ) -> Untyped:
        running = active()
        if running is None:
            return original(self, function_name, qualifier, body, headers, response_headers)
        function = self.get_function(function_name, qualifier)
        payload = body.encode() if isinstance(body, str) else bytes(body or b"{}")
        if headers.get("X-Amz-Invocation-Type") == "Event":
            running.functions.invoke_later(function, payload)
            return b""
        if headers.get("X-Amz-Invocation-Type") == "DryRun":
            return b""
        result = running.functions.invoke(function, payload)
        if result.function_error:
            response_headers["x-amz-function-error"] = result.function_error
        response_headers["x-amz-executed-version"] = "$LATEST"
        response_headers["Content-Length"] = str(len(result.payload))
        return result.payload

    return invoke


def _build_task_invoke(original: Untyped) -> Untyped:
    def invoke(parameters: dict[str, Any], region: str, state_credentials: Untyped) -> Untyped:
        running = active()
        backend = lambda_simple_backends[ACCOUNT_ID][region]
        try:
            function = backend.get_function(parameters["FunctionName"], parameters.get("Qualifier"))
        except UnknownFunctionException:
            function = None
        if running is None or function is None:
            return original(parameters, region, state_credentials)  # answers with Lambda's own error
        result = running.functions.invoke(function, parameters["Payload"])
        response = {
            "ExecutedVersion": "$LATEST",
            "Payload": json.loads(result.payload),
            "StatusCode": 200,
        }
        if result.function_error:
            response["FunctionError"] = result.function_error
        return response

    return invoke
