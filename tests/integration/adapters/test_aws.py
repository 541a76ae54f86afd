"""S3, Step Functions, and how AWS's own errors are told."""

import io
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from time import sleep
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.hooks import HierarchicalEmitter
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from botocore.stub import Stubber
from moto import mock_aws
from urllib3 import HTTPResponse

from massive_upload.adapters.aws import S3Files, StepFunctionsExecutions, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.domain.quota import Need
from massive_upload.errors import InternalError, StorageUnavailable
from tests.integration.adapters.entities import RUN, STARTED_AT, FixedClock, a_run
from tests.integration.adapters.stack import REGION, create_bucket


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("s3", region_name=REGION)


@pytest.fixture
def files(s3: Any) -> S3Files:
    return S3Files(s3, create_bucket(s3))


def test_a_file_is_read_as_it_was_written_last(files):
    files.write("a/b.csv", b"one")
    files.write("a/b.csv", b"\x00two\r\n")
    assert files.read("a/b.csv") == b"\x00two\r\n"


def test_a_file_has_its_content_type(files, s3):
    files.write("a.json", b"{}", content_type="application/json")
    files.write("a.csv", b"")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    assert s3.head_object(Bucket=bucket, Key="a.json")["ContentType"] == "application/json"
    assert s3.head_object(Bucket=bucket, Key="a.csv")["ContentType"] == "text/csv"


def test_a_file_may_take_longer_to_send_than_a_call_may_wait():
    """As 100 MB do where S3, or the way to it, is slow: the time-out is for each block."""
    size_bytes, seconds = 16_000_000, 1.5
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=take_slowly, args=(server, size_bytes, seconds), daemon=True).start()
        client = boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
            config=Config(connect_timeout=0.5, read_timeout=5, retries={"total_max_attempts": 1}),
        )
        S3Files(client, "bucket").write("a.csv", bytes(size_bytes))


def take_slowly(server: socket.socket, size_bytes: int, seconds: float) -> None:
    """Answer one PUT, whose body is read at an even rate."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as received:
        while (line := received.readline()) != b"\r\n":
            if line.lower().startswith(b"expect:"):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        blocks = 100
        for _ in range(blocks):
            received.read(size_bytes // blocks)
            sleep(seconds / blocks)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_file_that_is_not_there_is_named(files):
    with pytest.raises(InternalError, match=r"nothing\.csv: NoSuchKey"):
        files.read("nothing.csv")


def test_an_execution_has_ended_when_it_no_longer_runs_or_is_not_known(s3):
    client: Any = boto3.client("stepfunctions", region_name=REGION)
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    machine = client.create_state_machine(
        name="load", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/any"
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine, name="one")["executionArn"]
    executions = StepFunctionsExecutions(client)
    assert executions.ended_as(execution) is None
    client.stop_execution(executionArn=execution)
    assert executions.ended_as(execution) == client.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert executions.ended_as(execution.replace(":one", ":never")) == "ABORTED"


def test_the_machines_clock_is_in_utc():
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


PASSING = ["ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError", "SlowDown"]


@pytest.mark.parametrize("code", PASSING)
def test_a_throttled_or_failing_service_passes(s3, code):
    with Stubber(s3) as stub:
        stub.add_client_error("get_object", code, http_status_code=400)
        with pytest.raises(StorageUnavailable, match=code):
            S3Files(s3, "bucket").read("key")


def test_a_server_error_passes_whatever_its_code(s3):
    with Stubber(s3) as stub:
        stub.add_client_error("put_object", "Unheard", http_status_code=503)
        with pytest.raises(StorageUnavailable):
            S3Files(s3, "bucket").write("key", b"")


def test_a_missing_permission_is_final_and_says_where_to_look(s3):
    with Stubber(s3) as stub:
        stub.add_client_error("put_object", "AccessDenied", http_status_code=403)
        with pytest.raises(InternalError, match="permissions"):
            S3Files(s3, "bucket").write("key", b"")


_throttled: Any = ThrottledRetryableChecker
_transient: Any = TransientRetryableChecker
RETRIED_BY_BOTOCORE = sorted({*_throttled._THROTTLED_ERROR_CODES, *_transient._TRANSIENT_ERROR_CODES})


class FailingClient:
    """A client every call of which fails in the same way."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.meta = SimpleNamespace(events=HierarchicalEmitter())

    def __getattr__(self, name: str) -> Any:
        def fail(**request: Any) -> Any:
            raise self._error

        return fail


@pytest.mark.parametrize(
    "code",
    [
        *RETRIED_BY_BOTOCORE,
        "InternalError",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionConflictException",
    ],
)
def test_what_botocore_tries_again_passes_whatever_its_status(code):
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    client: Any = FailingClient(ClientError(answer, "PutObject"))
    with pytest.raises(StorageUnavailable, match=code):
        S3Files(client, "bucket").write("key", b"")


@pytest.mark.parametrize(
    ("status", "error"), [(400, InternalError), (429, StorageUnavailable), (500, StorageUnavailable)]
)
def test_an_error_of_another_code_is_told_by_its_status(status, error):
    answer: Any = {"Error": {"Code": "Anything"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    client: Any = FailingClient(ClientError(answer, "PutObject"))
    with pytest.raises(error, match="Anything"):
        S3Files(client, "bucket").write("key", b"")


def store_failing_with(error: Exception) -> DynamoDbProgress:
    client: Any = FailingClient(error)
    return DynamoDbProgress(Table(client, "progress"), FixedClock(STARTED_AT))


def cancelled(*codes: str) -> ClientError:
    reasons: Any = [{"Code": code} for code in codes]
    return ClientError(
        {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}, "TransactWriteItems"
    )


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://dynamodb"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems"),
        cancelled("None", "TransactionConflict"),
        cancelled("ThrottlingError"),
        cancelled("ProvisionedThroughputExceeded", "TransactionConflict"),
    ],
)
def test_a_table_that_does_not_answer_passes(error):
    store = store_failing_with(error)
    with pytest.raises(StorageUnavailable):
        store.begin_run(a_run())


A_BATCH = Need(requests_left=None, batches_left=None, requests=8, batches=1)


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://dynamodb"),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem"),
        ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem"),
    ],
)
def test_a_single_update_that_is_not_answered_passes(error):
    with pytest.raises(StorageUnavailable):
        store_failing_with(error).take_quota("00D", A_BATCH)


def test_a_single_update_that_is_refused_is_final():
    refused = ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")
    with pytest.raises(InternalError, match="ValidationException"):
        store_failing_with(refused).take_quota("00D", A_BATCH)


def test_a_read_that_is_throttled_passes():
    throttled = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetItem")
    with pytest.raises(StorageUnavailable):
        store_failing_with(throttled).run(RUN)


@pytest.mark.parametrize(
    "codes",
    [
        ("None", "ValidationError"),
        ("TransactionConflict", "ValidationError"),
        ("ItemCollectionSizeLimitExceeded",),
        ("NeverHeardOf",),
    ],
)
def test_a_transaction_that_is_cancelled_for_good_is_final(codes):
    with pytest.raises(InternalError, match=codes[-1]):
        store_failing_with(cancelled(*codes)).begin_run(a_run())


def test_a_write_that_is_refused_is_final():
    store = store_failing_with(ClientError({"Error": {"Code": "ValidationException"}}, "TransactWriteItems"))
    with pytest.raises(InternalError, match="ValidationException"):
        store.begin_run(a_run())


def test_an_answer_that_was_cut_is_asked_for_again():
    """DynamoDB sends a checksum of each answer, by which botocore knows."""
    whole = json.dumps({"Item": {"pk": {"S": "LEASE#x"}, "sk": {"S": "WRITER"}, "run_id": {"S": "run-1"}}}).encode()
    answers = [whole[:-20], whole]
    client: Any = boto3.client("dynamodb", region_name=REGION, aws_access_key_id="none", aws_secret_access_key="none")

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        raw = HTTPResponse(io.BytesIO(answers.pop(0)), preload_content=False)
        return AWSResponse(request.url, 200, HTTPHeaders.from_dict({"x-amz-crc32": str(crc32(whole))}), raw)

    client.meta.events.register("before-send.dynamodb", send)
    store = DynamoDbProgress(Table(client, "progress"), FixedClock(STARTED_AT))
    assert store.last_writer("x") == "run-1"
    assert answers == []
