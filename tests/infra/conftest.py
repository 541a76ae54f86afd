from pathlib import Path

import pytest

from infra.config import load_directory, sequence_directory
from infra.synth import ROOT, synthesize
from tests.infra.definitions import LOAD, SLICE, Definition, Template, read_definition, read_template


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The assembly of this repository's loads, as a local run synthesizes it."""
    loads = load_directory(ROOT / "loads")
    sequences = sequence_directory(ROOT / "loads", loads)
    return synthesize(tmp_path_factory.mktemp("assembly") / "cdk.out", loads=loads, sequences=sequences)


@pytest.fixture(scope="session")
def template(assembly: Path) -> Template:
    return read_template(assembly)


@pytest.fixture(scope="session")
def load_machine(template: Template) -> Definition:
    return read_definition(template, LOAD)


@pytest.fixture(scope="session")
def slice_machine(template: Template) -> Definition:
    return read_definition(template, SLICE)
