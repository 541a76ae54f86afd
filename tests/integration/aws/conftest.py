import pytest

from local.aws.embedded import EmbeddedAws
from tests.integration.aws.assembly import STACK, Assembly
from tests.integration.aws.world import World


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    """Deploys what the test module's `build(assembly)` describes."""
    directory = tmp_path_factory.mktemp("embedded")
    assembly = Assembly(directory / "cdk.out")
    request.module.build(assembly)
    with EmbeddedAws(work_dir=directory / "work", time_scale=getattr(request.module, "TIME_SCALE", 1000.0)) as aws:
        yield World(aws, aws.deploy(assembly.write(), STACK))
