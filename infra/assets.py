"""What the functions run: one directory of code for all of them, and one layer of third-party packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

from massive_upload.domain.load import Load, LoadSequence

LAMBDAS = Path(__file__).parent.parent / "lambdas"
LOCK = LAMBDAS / "requirements.lock"

TARGET_OPTIONS = (
    "--only-binary=:all:",
    "--implementation=cp",
    "--python-version=3.14",
    "--platform=manylinux2014_aarch64",
    "--platform=manylinux_2_28_aarch64",
)
"""pip's description of the Lambda runtime: Python 3.14 on Amazon Linux 2023 (glibc 2.34), arm64."""

_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_NOT_CODE = shutil.ignore_patterns("__pycache__", "*.pyc", "tests", "*.egg-info")


def function_code(directory: Path, loads: Mapping[str, Load], sequences: Mapping[str, LoadSequence]) -> lambda_.Code:
    """The functions' code, the compiled loads and their sequences, staged in ``directory/code``."""
    code = _empty(directory / "code")
    for package in ("handlers", "massive_upload"):
        shutil.copytree(LAMBDAS / package, code / package, ignore=_NOT_CODE)
    for kind, documents in (("loads", loads), ("sequences", sequences)):
        compiled = _empty(code / kind)
        for name, document in documents.items():
            (compiled / f"{name}.json").write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _let_lambda_read(code)
    return lambda_.Code.from_asset(str(code))


def dependency_layer(directory: Path) -> lambda_.Code:
    """The packages of the lock file, installed for the Lambda runtime.

    Where the context ``aws:cdk:bundling-stacks`` leaves the stack out, nothing is installed and the asset is the lock
    file alone: enough to look at a template, or to deploy where layers are not executed.
    """
    source = _empty(directory / "dependencies")
    shutil.copy(LOCK, source)
    # What is installed follows from the lock file and from how this module installs it: the same to the byte each time.
    fingerprint = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    return lambda_.Code.from_asset(
        str(source),
        asset_hash=fingerprint,
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(
            image=lambda_.Runtime.PYTHON_3_14.bundling_image,  # demanded by CDK; the local bundler always serves
            local=_PipBundler(),
        ),
    )


@jsii.implements(cdk.ILocalBundling)
class _PipBundler:
    """Installs the lock file with pip, without Docker."""

    # jsii hands the options over as one positional argument, against the documented signature (aws/aws-cdk#26581).
    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        install_dependencies(Path(output_dir) / "python")
        return True


def install_dependencies(target: Path, *, lock: Path = LOCK) -> None:
    """Install the packages of a lock file into ``target``, reproducibly.

    Raises:
        RuntimeError: pip failed; the message holds what it said.
    """
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes"),
        *(f"--target={target}", f"--requirement={lock}", *TARGET_OPTIONS),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - no shell, no input
    if result.returncode != 0:
        raise RuntimeError(
            f"The functions' packages could not be installed from {lock.name}: {result.stderr.strip()} "
            "Check the network, or write the lock file anew with 'python -m infra.lock'."
        )
    for leftover in [target / "bin", *target.rglob("tests"), *target.rglob("__pycache__")]:
        shutil.rmtree(leftover, ignore_errors=True)
    for record in target.glob("*.dist-info/RECORD"):  # lists what was just removed
        record.unlink()
    _let_lambda_read(target)


def _let_lambda_read(directory: Path) -> None:
    """Lambda runs code as another user than the one who staged it, whose umask may have kept the files to himself.

    The modes go into the asset's archive, and not into its hash: an archive with the wrong ones would stay.
    """
    for path in (directory, *directory.rglob("*")):
        path.chmod(_DIRECTORY_MODE if path.is_dir() else _FILE_MODE)


def _empty(directory: Path) -> Path:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    return directory
