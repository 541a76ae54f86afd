"""Who calls the embedded AWS, and where: fixed fake credentials, one account, one region."""

import functools

import boto3
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from local.aws.untyped import Untyped

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
ACCESS_KEY_ID = "embedded"
SECRET_ACCESS_KEY = "embedded"  # noqa: S105 - the embedded AWS accepts any key; this is no secret


def function_access_key(function_name: str) -> str:
    """Returns the key with which a function signs, as on AWS it signs with one of its role: requests tell who calls."""
    return f"{ACCESS_KEY_ID}.{function_name}"


# botocore's chain "session variable, environment, file, default": without an environment name and with an empty file,
# nothing that the host has configured for the real AWS can leak in.
_HOST_SETTINGS_OFF = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


def isolated_session() -> boto3.Session:
    """Returns a boto3 session that knows the embedded credentials and nothing of the host's AWS settings."""
    session = Session(session_vars=_HOST_SETTINGS_OFF)
    session.register_component("data_loader", _service_descriptions())
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=REGION,
        botocore_session=session,
    )


class _SharedLoader(Loader):
    """A loader of botocore's own descriptions for many sessions, each of which would append to its list of places."""

    @property
    def search_paths(self) -> list[str]:
        """Where descriptions are."""
        return [self.BUILTIN_DATA_PATH]


@functools.cache
def _service_descriptions() -> Loader:
    """Reads the descriptions of AWS's services once for all sessions; else each reads its own, 0.05 s for a client."""
    return _SharedLoader()


def client_for(endpoint_url: str, service: str) -> Untyped:
    """Returns a boto3 client of `service` that talks to `endpoint_url`."""
    config = Config(
        proxies={},
        read_timeout=1000,  # a direct invocation may last as long as a function: 900 s
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        max_pool_connections=50,
    )
    return isolated_session().client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]  # the service is a variable
