"""The boto3 clients that the interpreter uses for its own calls.

Defect: moto makes a client for every task (7 ms each) and sends it to http://localhost:5000. Here there is one client
for a service, and its requests go to moto's own functions without HTTP.
"""

import functools
from types import SimpleNamespace

from botocore.config import Config
from moto.core.botocore_stubber import BotocoreStubber
from moto.stepfunctions.parser.asl.utils import boto_client

from local.aws.hooks.patching import replace
from local.aws.identity import REGION, isolated_session
from local.aws.untyped import Untyped


def install() -> None:
    """Gives moto's client factory a boto3 whose clients are kept and answer in this process."""
    replace(boto_client, "boto3", lambda _: SimpleNamespace(client=_client))


def _client(*, service_name: str, region_name: str, **_: Untyped) -> Untyped:
    return in_process_client(service_name, region_name)


@functools.cache
def in_process_client(service: str, region: str = REGION) -> Untyped:
    """Returns the client of `service` whose requests are answered by moto in this process."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    client = isolated_session().client(service, region_name=region, config=config)  # type: ignore[call-overload]  # the service is a variable
    stubber = BotocoreStubber()
    stubber.enabled = True
    client.meta.events.register("before-send", stubber)
    return client
