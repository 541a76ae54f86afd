"""The embedded AWS leaves nothing behind, and shows what it can do."""

import gc
import json
import os
import resource
import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pytest
from botocore.exceptions import ClientError
from moto.awslambda_simple.models import lambda_simple_backends
from moto.stepfunctions.parser.backend.execution import Execution

from local.aws.active import InvocationResult
from local.aws.embedded import EmbeddedAws
from local.aws.functions import FunctionPool
from local.aws.hooks.clients import in_process_client
from local.aws.identity import ACCOUNT_ID, REGION
from tests.integration.aws.assembly import STACK, Assembly, one_task


def build(directory: Path) -> Path:
    assembly = Assembly(directory / "cdk.out")
    assembly.function("Pid", "import os\ndef handler(event, context):\n    return os.getpid()\n")
    assembly.function(
        "Stay",
        """
        import os, time
        from pathlib import Path

        def handler(event, context):
            Path(event["file"]).write_text(str(os.getpid()))
            time.sleep(60)
        """,
        timeout_seconds=60,
    )
    assembly.machine("Works", one_task("${Pid.Arn}"))
    assembly.machine("Stays", one_task("${Stay.Arn}"))
    return assembly.write()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_nothing_is_left_after_stop(tmp_path):
    aws = EmbeddedAws(work_dir=tmp_path / "work")
    aws.start()
    outputs = aws.deploy(build(tmp_path), STACK)
    idle = aws.wait_for_execution(aws.start_execution(outputs["WorksArn"], {}), 30).output
    seen = tmp_path / "pid"
    aws.start_execution(outputs["StaysArn"], {"file": str(seen)})
    while not (seen.exists() and seen.read_text()):
        pass
    busy, server = int(seen.read_text()), aws._functions._server._process.pid
    assert all(map(is_alive, (idle, busy, server)))
    address = urlparse(aws.access.endpoint_url)

    aws.stop()

    assert not any(map(is_alive, (idle, busy, server)))
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname, address.port)) != 0
    gc.collect()  # an open socket or file would warn here, and a warning is an error


def test_a_function_that_is_first_asked_for_while_all_of_them_end_is_not_started(tmp_path, monkeypatch):
    """As by an asynchronous invocation that is under way: nobody would end its environment."""
    answers: list[InvocationResult] = []
    with EmbeddedAws(work_dir=tmp_path / "work") as aws:
        outputs = aws.deploy(build(tmp_path), STACK)
        aws.wait_for_execution(aws.start_execution(outputs["WorksArn"], {}), 30)
        (stay,) = [
            function
            for function in lambda_simple_backends[ACCOUNT_ID][REGION].list_functions()
            if "Stay" in function.function_name
        ]
        close = FunctionPool.close

        def close_and_be_asked(pool: FunctionPool) -> None:
            close(pool)
            answers.append(aws._functions.invoke(stay, b"{}"))

        monkeypatch.setattr(FunctionPool, "close", close_and_be_asked)
    (answer,) = answers
    assert json.loads(answer.payload)["errorType"] == "Runtime.ExitError"
    assert list((tmp_path / "work").rglob("*Stay*.log")) == []


def test_it_starts_anew_with_nothing_of_before(tmp_path):
    with EmbeddedAws(work_dir=tmp_path / "first") as aws:
        aws.deploy(build(tmp_path), STACK)
    with EmbeddedAws(work_dir=tmp_path / "second") as aws:
        assert aws.client("stepfunctions").list_state_machines()["stateMachines"] == []
        assert aws.figures.executions == []
        assert aws.figures.state_transitions == 0


def test_it_may_have_more_descriptors_than_macos_gives(tmp_path: Path) -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4_096 if hard == resource.RLIM_INFINITY else min(4_096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with EmbeddedAws(work_dir=tmp_path):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def test_an_execution_that_does_not_end_in_time_is_named(tmp_path):
    with EmbeddedAws(work_dir=tmp_path / "work") as aws:
        outputs = aws.deploy(build(tmp_path), STACK)
        arn = aws.start_execution(outputs["StaysArn"], {"file": os.devnull}, "late")
        with pytest.raises(TimeoutError, match="late has not ended"):
            aws.wait_for_execution(arn, 0.1)


def test_a_client_ignores_the_hosts_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    in_process_client.cache_clear()
    with EmbeddedAws(work_dir=tmp_path / "work") as aws:
        outputs = aws.deploy(build(tmp_path), STACK)
        assert aws.client("sts").get_caller_identity()["Account"] == "123456789012"
        assert ":us-east-1:" in outputs["WorksArn"]


def test_an_execution_that_is_just_being_started_has_no_history_yet(tmp_path: Path) -> None:
    with EmbeddedAws(work_dir=tmp_path):
        assert Execution.to_history_output(SimpleNamespace(exec_worker=None)) == {"events": []}


def test_a_request_that_breaks_the_embedded_aws_is_answered_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise LookupError("what is missing")

    with EmbeddedAws(work_dir=tmp_path) as aws:
        monkeypatch.setattr(Execution, "to_history_output", breaks)
        aws.deploy(build(tmp_path), STACK)
        machine = aws.client("stepfunctions").list_state_machines()["stateMachines"][0]["stateMachineArn"]
        arn = aws.start_execution(machine, {})
        with pytest.raises(ClientError, match=r"InternalFailure.*LookupError\('what is missing'\) in breaks"):
            aws.client("stepfunctions").get_execution_history(executionArn=arn)
