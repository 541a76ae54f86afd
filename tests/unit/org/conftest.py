from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from local.org import Faults, ManualClock, OrgSettings
from local.org.backend import OrgBackend
from tests.unit.org.support import SOURCE, Org


@pytest.fixture
def make_org() -> Iterator[Callable[..., Org]]:
    made: list[OrgBackend] = []

    def make(faults: str = "", **settings: Any) -> Org:
        clock = ManualClock()
        base = OrgSettings(source=SOURCE, faults=Faults.parse(faults))
        backend = OrgBackend(replace(base, **settings), clock)
        made.append(backend)
        return Org(backend, clock)

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def org(make_org: Callable[..., Org]) -> Org:
    return make_org()
