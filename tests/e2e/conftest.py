"""What tests of the whole product have in common."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli import local_run
from infra.synth import STACK_NAME, synthesize
from massive_upload.domain.load import Load

Assembled = Callable[[Load], Path]


@pytest.fixture(scope="session")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    """Synthesizes a stack with one load; for the same load the assembly is made once."""
    made: dict[str, Path] = {}

    def assembled(load: Load) -> Path:
        content = load.model_dump_json()
        if content not in made:
            # A directory of its own: the CDK believes that an asset which it has copied to one is still there.
            outdir = tmp_path_factory.mktemp("cdk.out")
            made[content] = synthesize(outdir, loads={load.name: load}, validate=False, stack_name=STACK_NAME)
        return made[content]

    return assembled


@pytest.fixture
def quick_synthesis(monkeypatch: pytest.MonkeyPatch, assembled: Assembled) -> None:
    """Commands of this process synthesize in it, as it has the CDK imported after the first time."""
    monkeypatch.setattr(local_run, "synthesize_apart", lambda _outdir, load: assembled(load))
