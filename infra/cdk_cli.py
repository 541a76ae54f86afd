"""The command line of the CDK, pinned, for machines with Python alone: ``python -m infra.cdk_cli deploy``.

It takes every argument that ``cdk`` takes and ends with its status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.npm import NODE_BIN, NpmError, node_environment, npm_package

CDK_VERSION = "2.1148.1"
"""npm's `latest` is 3.0.0, published by mistake, which cannot read current assemblies (aws/aws-cdk#38113)."""

_ROOT = Path(__file__).parent.parent


def main() -> None:
    """Install the CDK's command line where it is missing, and run it where cdk.json is."""
    try:
        package = npm_package("aws-cdk", CDK_VERSION)
    except NpmError as error:
        sys.exit(str(error))
    cdk = package / "node_modules" / "aws-cdk" / "bin" / "cdk"
    command = [str(NODE_BIN / "node"), str(cdk), *sys.argv[1:]]
    done = subprocess.run(command, cwd=_ROOT, env=_environment(), check=False)  # noqa: S603 - the operator's arguments
    sys.exit(done.returncode)


def _environment() -> dict[str, str]:
    """The `python3` of cdk.json is the one that runs this, which has what the app imports."""
    environment = node_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment


if __name__ == "__main__":
    main()
