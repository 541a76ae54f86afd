"""The CDK's command line for machines with Python alone."""

import sys
from pathlib import Path

import pytest

from infra import cdk_cli
from infra.npm import NpmError


def a_cdk(directory: Path) -> Path:
    """A package whose command says where it runs, with what, and ends with 7."""
    script = directory / "node_modules" / "aws-cdk" / "bin" / "cdk"
    script.parent.mkdir(parents=True)
    script.write_text(
        "console.log(process.cwd(), process.env.PATH, ...process.argv.slice(2), process.env.SALESFORCE_CLIENT_SECRET);"
        "process.exit(7);"
    )
    return directory


def test_arguments_and_status_are_the_cdk_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cdk_cli, "npm_package", lambda _name, _version: a_cdk(tmp_path))
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "s3cr3t")
    monkeypatch.setattr(sys, "argv", ["cdk_cli", "deploy", "--context", "stack_name=Nightly"])
    with pytest.raises(SystemExit) as ended:
        cdk_cli.main()
    assert ended.value.code == 7
    directory, path, *arguments = capfd.readouterr().out.split()
    assert (Path(directory) / "cdk.json").is_file()
    assert path.startswith(str(Path(sys.executable).parent))
    assert arguments == ["deploy", "--context", "stack_name=Nightly", "undefined"], "it has no login to an org"


def test_a_package_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, version: str) -> Path:
        raise NpmError(f"npm could not install {name}@{version}: no network. Check the connection and try again.")

    monkeypatch.setattr(cdk_cli, "npm_package", unreachable)
    with pytest.raises(SystemExit, match=r"^npm could not install aws-cdk@2.* try again\.$"):
        cdk_cli.main()
