"""The layer of third-party packages: its lock file, and what is installed from it."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from infra.assets import LAMBDAS, LOCK, install_dependencies
from infra.config import load_directory, sequence_directory
from infra.synth import ROOT, synthesize
from tests.infra.definitions import Template, read_template

LOCKED = re.compile(r"^(?P<name>\S+)==(?P<version>\S+) --hash=sha256:[0-9a-f]{64}$")


def normalized(name: str) -> str:
    """A package's name as PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_versions() -> dict[str, str]:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    matches = [LOCKED.match(line) for line in lines]
    assert all(matches), "every line is name==version --hash=sha256:..."
    return {normalized(match["name"]): match["version"] for match in matches if match}


def test_the_lock_holds_every_pin_of_the_requirements() -> None:
    pins = dict(
        line.split("==")
        for line in (LAMBDAS / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    locked = locked_versions()
    assert {normalized(name): version for name, version in pins.items()}.items() <= locked.items()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("layer") / "python"
    before = os.umask(0o077)
    try:
        install_dependencies(target)
    finally:
        os.umask(before)
    return target


def test_the_layer_holds_every_locked_package_for_arm_and_python_3_14(installed: Path) -> None:
    metadata = [path.name.removesuffix(".dist-info") for path in installed.glob("*.dist-info")]
    found = {normalized(name): version for name, _, version in (each.partition("-") for each in metadata)}
    assert found == locked_versions()
    native = [path.name for path in installed.rglob("*.so")]
    assert native
    assert all("aarch64" in name or "abi3" in name for name in native), native
    assert any("cpython-314" in name for name in native)


def test_everybody_may_read_the_layer_whatever_the_umask(installed: Path) -> None:
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in (installed, *installed.rglob("*"))}
    assert modes == {(True, 0o755), (False, 0o644)}


def test_the_layer_fits_into_what_lambda_unpacks(installed: Path) -> None:
    size_bytes = sum(path.stat().st_size for path in installed.rglob("*") if path.is_file())
    assert size_bytes < 150_000_000  # of 250 MB unzipped, layers and code together (Lambda quotas)


def test_what_varies_between_installations_is_left_out(installed: Path) -> None:
    left = [path for path in installed.rglob("*") if path.name in {"RECORD", "__pycache__", "tests", "bin"}]
    assert left == []


@pytest.mark.soak
def test_two_installations_are_the_same_to_the_byte(installed: Path, tmp_path: Path) -> None:
    install_dependencies(tmp_path / "python")
    assert contents(tmp_path / "python") == contents(installed)


def contents(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_an_installation_that_fails_says_why_and_what_to_do(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")
    with pytest.raises(RuntimeError) as raised:
        install_dependencies(tmp_path / "python", lock=lock)
    message = str(raised.value)
    assert "DO NOT MATCH THE HASHES" in message
    assert message.endswith("write the lock file anew with 'python -m infra.lock'.")


def test_a_template_does_not_depend_on_whether_the_layer_is_bundled(template: Template, tmp_path: Path) -> None:
    loads = load_directory(ROOT / "loads")
    bundled = synthesize(
        tmp_path / "cdk.out", loads=loads, sequences=sequence_directory(ROOT / "loads", loads), bundle=True
    )
    assert read_template(bundled) == template
    (layer,) = [path for path in bundled.glob("asset.*") if (path / "python").is_dir()]
    assert (layer / "python" / "pydantic").is_dir()
