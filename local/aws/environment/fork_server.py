"""Forks execution environments from a process that has loaded the third-party libraries once.

Runs in a process of its own with nothing of the host's environment. Every byte on the control socket comes with a
connection and asks for one environment on it. The control socket ends when the embedded AWS stops, and also when its
process is killed: environments that are at work then are killed too, so that none of them goes on talking to the org
behind the back of whoever comes next.
"""

import contextlib
import functools
import gc
import importlib
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from local.aws.environment import runtime

# Only third-party code: the handlers' own packages come from the asset of each function.
_PRELOADED = (
    "boto3",
    "botocore.httpsession",
    "botocore.signers",
    "botocore.waiter",
    "orjson",
    "pydantic",
    "requests",
    "aws_lambda_powertools",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.utilities.parameters",
    "aws_lambda_powertools.utilities.parser",
    "boto3.dynamodb.conditions",
    "boto3.s3.inject",
    "boto3.dynamodb.types",
    "jwt",
)
_SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "stepfunctions")
"""Those of which functions make clients most often; others are read when they are asked for."""


def main(control_descriptor: int, site_directories: list[str]) -> None:
    """Serves until the control socket is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the environments
    _hide_project()
    sys.path.extend(site_directories)
    _preload()
    prepare = functools.partial(_use_service_models, _service_models())
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the shared pages
    with socket.socket(fileno=control_descriptor) as control:
        control.sendall(b"r")
        _serve(control, prepare)
    _end_environments()


def _end_environments() -> None:
    """The server leads a process group of its own, in which the environments are."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):  # raised when none is left
        os.waitpid(-1, 0)


def _hide_project() -> None:
    """Leaves no way to import the project from its source tree: a handler must find its code in its asset."""
    sys.path.pop(0)
    for name in [name for name in sys.modules if name.split(".")[0] == "local"]:
        del sys.modules[name]


def _preload() -> None:
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):  # a function that needs it will say so itself
            importlib.import_module(name)


def _service_models() -> Any:  # noqa: ANN401 - botocore has no types
    """A loader of botocore that has read the descriptions of the services, which take an environment 0.1 s.

    It knows no directory but botocore's own; a file that this botocore does not have is read by whoever needs it.
    """
    from botocore.exceptions import DataNotFoundError
    from botocore.loaders import Loader

    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        with contextlib.suppress(DataNotFoundError):
            loader.load_data(name)
    for service, kind in itertools.product(_SERVICES, ("service-2", "endpoint-rule-set-1", "paginators-1")):
        with contextlib.suppress(DataNotFoundError):
            loader.load_service_model(service, kind)
    return loader


def _use_service_models(loader: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Give boto3 a session with the loader, in an environment that has its variables already."""
    import boto3
    import botocore.session

    if "AWS_DATA_PATH" in os.environ:
        return  # the function has descriptions of its own
    session = botocore.session.Session()
    session.register_component("data_loader", loader)
    boto3.setup_default_session(botocore_session=session)


def _serve(control: socket.socket, prepare: Callable[[], None]) -> None:
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not request:
            return
        (descriptor,) = descriptors
        if os.fork() == 0:
            control.close()
            runtime.run(socket.socket(fileno=descriptor), prepare)
        os.close(descriptor)
