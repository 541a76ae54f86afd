"""The other login: a sample of rows, loaded by a user with a private key instead of a client secret."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from local.org import OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, USERNAME, new_key_pair


@pytest.mark.usefixtures("quick_synthesis")
def test_a_sample_is_loaded_with_the_jwt_bearer_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = new_key_pair()
    key_file = tmp_path / "key.pem"
    key_file.write_text(keys.private_pem)
    monkeypatch.delenv("SALESFORCE_CLIENT_SECRET", raising=False)
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("SALESFORCE_USERNAME", USERNAME)
    monkeypatch.setenv("SALESFORCE_PRIVATE_KEY_FILE", str(key_file))
    source = generated_opportunities(900, rejected_share=0)
    settings = OrgSettings(source=source, time_scale=1000, public_key_pem=keys.public_pem)
    with OrgServer(settings) as org:
        options = ["--mode", "sample", "--set", "sample.rows=300", "--time-scale", "1000", "--json"]
        arguments = ["run", "opportunity", "--local", "--org-url", org.url, "--out", str(tmp_path / "out"), *options]
        result = CliRunner().invoke(app, arguments)
        loaded = org.backend.statistics()["records"]["Opportunity"]

    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["succeeded"] == summary["source_rows"] == loaded == 300
