from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from tests.integration.org.support import Client

TIME_SCALE = 1000.0
"""A job of a few rows takes a second and a bit inside the org, and a millisecond outside."""


@pytest.fixture
def make_org() -> Iterator[Callable[..., OrgServer]]:
    servers: list[OrgServer] = []

    def make(faults: str = "", **settings: Any) -> OrgServer:
        known = {"source": generated_opportunities(300, rejected_share=0), "time_scale": TIME_SCALE}
        server = OrgServer(OrgSettings(**{**known, "faults": Faults.parse(faults), **settings}))
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def log_in() -> Iterator[Callable[[str], Client]]:
    sessions: list[requests.Session] = []

    def log_in(url: str) -> Client:
        http = requests.Session()
        sessions.append(http)
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        answer = http.post(f"{url}/services/oauth2/token", data=form, timeout=30)
        answer.raise_for_status()
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return Client(url, http)

    yield log_in
    for http in sessions:
        http.close()


@pytest.fixture
def org(make_org: Callable[..., OrgServer]) -> OrgServer:
    return make_org()


@pytest.fixture
def client(org: OrgServer, log_in: Callable[[str], Client]) -> Client:
    return log_in(org.url)
