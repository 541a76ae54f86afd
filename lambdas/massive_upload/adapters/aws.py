"""S3, Step Functions and the clock behind their ports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from massive_upload.adapters.aws_errors import error_code, is_passing
from massive_upload.errors import InternalError, LoadError, StorageUnavailable

if TYPE_CHECKING:
    from botocore.client import BaseClient


class S3Files:
    """`massive_upload.ports.Files` in one bucket."""

    def __init__(self, client: BaseClient, bucket_name: str) -> None:
        self._client: Any = client
        self._bucket = bucket_name

    def read(self, key: str) -> bytes:
        try:
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, key) from error
        return content

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        try:
            # Of bytes botocore makes a stream, which is sent in blocks, each under the time-out; a bytearray would be
            # one send for the whole file.
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, key) from error


class StepFunctionsExecutions:
    """`massive_upload.ports.Executions` by DescribeExecution."""

    def __init__(self, client: BaseClient) -> None:
        self._client: Any = client

    def ended_as(self, execution_arn: str) -> str | None:
        try:
            status = self._client.describe_execution(executionArn=execution_arn)["status"]
        except (ClientError, BotoCoreError) as error:
            if error_code(error) == "ExecutionDoesNotExist":
                return "ABORTED"  # Step Functions forgets an execution 90 days after its end (quotas page)
            raise _translated(error, execution_arn) from error
        return None if status == "RUNNING" else str(status)


class SystemClock:
    """`massive_upload.ports.Clock` of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def _translated(error: ClientError | BotoCoreError, what: str) -> LoadError:
    code = error_code(error)
    if is_passing(error):
        return StorageUnavailable(f"AWS did not answer for {what}: {code}.", code=code)
    return InternalError(
        f"AWS refused a call for {what}: {code}.",
        next_step="Compare the function's permissions with the deployed stack; an object may have expired.",
        code=code,
    )
