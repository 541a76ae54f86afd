"""``massive-upload demo`` and ``massive-upload org``, started as a person starts them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]


def test_the_demo_loads_generated_rows_and_leaves_its_files(tmp_path):
    done = subprocess.run(
        [*COMMAND, "demo", "--rows", "3000", "--lanes", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lambdas'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (out,) = (tmp_path / "out").iterdir()
    account = json.loads((out / "receipt.json").read_text())["account"]
    assert account["source_rows"] == 3_000 + 3  # three rows have no key
    assert f"The org has {account['succeeded']:,} opportunities now." in done.stdout
    assert "Simulated on this machine" in done.stdout
    assert "Try next" in done.stdout
    assert "Warning" not in done.stderr


def test_the_org_serves_a_file_until_it_is_told_to_end(tmp_path):
    (tmp_path / "plane.csv").write_text("tail,seats\nN1,100\nN2,\n")
    arguments = ["org", "--port", "0", "--source", str(tmp_path / "plane.csv"), "--time-scale", "10"]
    org = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert org.stdout is not None
    assert org.stderr is not None
    try:
        url = org.stdout.readline().split()[-1]
        statistics = requests.get(f"{url}/__org__/statistics", timeout=30).json()
        org.send_signal(signal.SIGTERM)
        stdout, stderr = org.stdout.read(), org.stderr.read()
        assert org.wait(timeout=30) == 0, stderr
    finally:
        org.kill()
        org.communicate()

    assert statistics["records"] == {"plane__c": 0}
    assert f"--org-url {url}" in stdout
    assert stderr == ""
