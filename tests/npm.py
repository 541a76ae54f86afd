"""npm packages for tests, and what becomes of a test where they cannot be had."""

import os
from pathlib import Path

import pytest

from infra import npm
from infra.npm import NODE_BIN, NpmError, node_environment

__all__ = ["NODE_BIN", "node_environment", "npm_package"]

_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "network")
"""What npm says when it cannot talk to the registry at all."""


def npm_package(name: str, version: str) -> Path:
    """Install a package, unless it is there already.

    Where the registry cannot be reached, the test is skipped and says so. Any other trouble fails the test in CI
    (the environment has CI=true) and skips it elsewhere.

    Args:
        name: the package.
        version: exactly this version of it.

    Returns:
        A directory from which `require(name)` works; commands are in its node_modules/.bin.
    """
    try:
        return npm.npm_package(name, version)
    except NpmError as error:
        if os.environ.get("CI") == "true" and not any(word in str(error) for word in _UNREACHABLE):
            pytest.fail(str(error))
        pytest.skip(str(error))
