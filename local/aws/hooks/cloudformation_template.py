"""Templates: where they are, and what they are written in.

Defects: moto reads `http://127.0.0.1:4566/bucket/key` as the bucket `127` (only "localhost" is understood), so
CreateChangeSet of `cdk deploy`, and CreateStack with a template over 51,200 bytes, say that the bucket does not exist.
And it reads a template of JSON, as the CDK writes them, as the YAML that it is too: 0.2 s for ours, several times a
deployment.
"""

import json
from types import ModuleType
from urllib.parse import urlparse

import moto.cloudformation.models
import moto.cloudformation.responses
import moto.cloudformation.utils

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped


def install() -> None:
    """Makes path-style URLs of a numeric host readable, and reads JSON as JSON."""
    for module in (moto.cloudformation.utils, moto.cloudformation.responses, moto.cloudformation.models):
        replace(module, "get_stack_from_s3_url", _build_get_stack)
    for module in (moto.cloudformation.responses, moto.cloudformation.models):
        replace(module, "yaml", _JsonFirst)


def _build_get_stack(original: Untyped) -> Untyped:
    def get_stack(template_url: str, account_id: str, partition: str) -> Untyped:
        url = urlparse(template_url)
        if url.hostname == "127.0.0.1":
            template_url = url._replace(netloc=f"localhost:{url.port}").geturl()
        return original(template_url, account_id, partition)

    return get_stack


class _JsonFirst:
    """The module `yaml`, whose `load` leaves JSON to `json`."""

    def __init__(self, yaml: ModuleType) -> None:
        self._yaml = yaml

    def __getattr__(self, name: str) -> Untyped:
        return getattr(self._yaml, name)

    def load(self, text: str, Loader: type) -> Untyped:  # noqa: N803 - as yaml calls it
        """Reads a template."""
        try:
            return json.loads(text)
        except ValueError:
            return self._yaml.load(text, Loader=Loader)
