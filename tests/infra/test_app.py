"""``python app.py``, as the CDK command line starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.config import load_directory, sequence_directory
from infra.synth import ROOT, synthesize
from tests.infra.definitions import read_template


def run_app(outdir: Path, context: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the app without credentials, with a context and an output directory as ``cdk`` hands them over."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # What 'cdk ls' and 'cdk destroy' say: nothing needs to be bundled.
    whole_context: dict[str, object] = {**context, "aws:cdk:bundling-stacks": []}
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment | {"CDK_CONTEXT_JSON": json.dumps(whole_context), "CDK_OUTDIR": str(outdir)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_app_synthesizes_what_the_tests_look_at_under_the_name_that_the_context_says(tmp_path: Path) -> None:
    done = run_app(tmp_path / "cdk.out", {"stack_name": "Nightly"})
    assert (done.returncode, done.stderr) == (0, "")
    loads = load_directory(ROOT / "loads")
    sequences = sequence_directory(ROOT / "loads", loads)
    expected = synthesize(tmp_path / "expected", loads=loads, sequences=sequences, stack_name="Nightly")
    assert (tmp_path / "cdk.out" / "Nightly.template.json").is_file()
    assert read_template(tmp_path / "cdk.out") == read_template(expected)


def test_a_wrong_load_stops_the_app_with_its_mistakes_alone(tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    loads.mkdir()
    (loads / "orders.yaml").write_text("source: {}\n", encoding="utf-8")
    done = run_app(tmp_path / "cdk.out", {"loads_dir": str(loads)})
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{loads}/orders.yaml:1: source.object: is missing; write 'object: ...' here",
        f"{loads}/orders.yaml:1: source.key: is missing; write 'key: ...' here",
        f"{loads}/orders.yaml: target: is missing; write 'target: ...' here",
        f"{loads}/orders.yaml: fields: is missing; write 'fields: ...' here",
    ]
