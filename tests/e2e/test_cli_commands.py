"""``massive-upload demo`` and ``massive-upload org``, started as a person starts them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from itertools import takewhile
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


def test_the_org_serves_on_when_nobody_reads_what_it_prints_any_more():
    command = [*COMMAND, "org", "--port", "0", "--rows", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as org:
        assert org.stdout is not None
        assert org.stderr is not None
        try:
            url = org.stdout.readline().split()[-1]
            org.stdout.close()
            assert requests.get(f"{url}/__org__/statistics", timeout=30).ok
            org.send_signal(signal.SIGTERM)
            assert org.wait(timeout=30) == 0
            assert org.stderr.read() == ""
        finally:
            org.kill()


def test_the_org_serves_a_file_that_the_load_it_prints_brings_in_until_it_is_told_to_end(tmp_path):
    (tmp_path / "plane.csv").write_text('no,owner,seats,"2nd: name"\n007,A,100,x\n008,B,,\n')
    arguments = [
        "org",
        "--port",
        "0",
        "--source",
        str(tmp_path / "plane.csv"),
        "--parent",
        "owner",
        "--time-scale",
        "1000",
    ]
    org = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert org.stdout is not None
    assert org.stderr is not None
    try:
        url = org.stdout.readline().split()[-1]
        lines = iter(org.stdout.readline, "")
        before = list(takewhile(lambda line: not line.startswith("Describe the load"), lines))
        described = takewhile(str.strip, lines)
        (tmp_path / "plane.yaml").write_text(textwrap.dedent("".join(described)))
        directions = "".join(takewhile(str.strip, lines))
        run = ["run", "plane", "--local", "--org-url", url, "--time-scale", "1000"]
        assert f"massive-upload {' '.join(run)}" in directions
        loaded = subprocess.run(
            [*COMMAND, *run, "--loads-dir", str(tmp_path), "--out", str(tmp_path / "out")],
            env={**os.environ, **dict(word.split("=") for word in directions.split() if "=" in word)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        statistics = requests.get(f"{url}/__org__/statistics", timeout=30).json()
        org.send_signal(signal.SIGTERM)
        stdout, stderr = org.stdout.read(), org.stderr.read()
        assert org.wait(timeout=30) == 0, stderr
    finally:
        org.kill()
        org.communicate()

    assert loaded.returncode == 0, loaded.stderr
    assert statistics["records"] == {"Account": 2, "plane__c": 2}
    assert "Core takes Account, plane__c" in "".join(before)
    assert "The simulated org has ended." in stdout
    assert stderr == ""
