"""Who calls the embedded AWS, and where: one account, one region, keys that say who, a session token that says may."""

import functools
import os
from dataclasses import dataclass, field

import boto3
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from local.aws.untyped import Untyped

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
ACCESS_KEY_ID = "embedded"
SECRET_ACCESS_KEY = "embedded"  # noqa: S105 - signatures are not checked; this is no secret


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


def isolated_session(session_token: str | None = None) -> boto3.Session:
    """Returns a boto3 session that knows the embedded credentials and nothing of the host's AWS settings.

    Only requests that are answered in this process need no session token.
    """
    session = Session(session_vars=_HOST_SETTINGS_OFF)
    session.register_component("data_loader", _service_descriptions())
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        aws_session_token=session_token,
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


@dataclass(frozen=True)
class Access:
    """What it takes to call one embedded AWS over HTTP.

    Attributes:
        endpoint_url: where it listens; every user of the machine can find that out.
        session_token: the secret that it wants to see in each request.
    """

    endpoint_url: str
    session_token: str = field(repr=False)

    def variables(self, access_key_id: str = ACCESS_KEY_ID) -> dict[str, str]:
        """The environment of a process that calls it, as AWS's SDKs and command lines read it.

        The files of the host's own AWS settings stay unread. Only the user of a process, and root, can read these.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": access_key_id,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_SESSION_TOKEN": self.session_token,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Untyped:
        """Returns a boto3 client of `service`."""
        config = Config(
            proxies={},
            read_timeout=1000,  # a direct invocation may last as long as a function: 900 s
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            max_pool_connections=50,
        )
        session = isolated_session(self.session_token)
        return session.client(service, endpoint_url=self.endpoint_url, config=config)  # type: ignore[call-overload]  # the service is a variable
