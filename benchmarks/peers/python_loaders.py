"""The floor, and simple-salesforce above the same pages.

Nothing is imported here that the loaders do not need, so that their memory is their own.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import requests

from benchmarks.deals import EXTERNAL_ID, JOB_ROWS, OBJECT, SQL, TARGETS, Login


def session_of(login: Login) -> tuple[requests.Session, str]:
    """A session that is logged in, and where the API's paths begin."""
    form = {
        "grant_type": "client_credentials",
        "client_id": login.client_id,
        "client_secret": login.client_secret,
    }
    token = requests.post(f"{login.url}/services/oauth2/token", data=form, timeout=30).json()["access_token"]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return session, f"{login.url}/services/data/v66.0"


def _pages(session: requests.Session, root: str, job_rows: int = JOB_ROWS, sql: str = SQL) -> Iterator[list[list[Any]]]:
    """The rows of the query, as many as one job takes at a time."""
    body = orjson.dumps({"sql": sql, "rowLimit": 1})
    headers = {"Content-Type": "application/json"}
    asked = session.post(f"{root}/ssot/query-sql?dataspace=default", data=body, headers=headers, timeout=600)
    status = orjson.loads(asked.content)["status"]
    offset, total = 0, status["rowCount"]
    while offset < total:
        rows: list[list[Any]] = []
        while len(rows) < job_rows and offset < total:
            limit = min(job_rows - len(rows), total - offset)
            path = f"{root}/ssot/query-sql/{status['queryId']}/rows?offset={offset}&rowLimit={limit}&dataspace=default"
            page = orjson.loads(session.get(path, timeout=600).content)["data"]
            rows += page
            offset += len(page)
        yield rows


def floor(login: Login, *, job_rows: int = JOB_ROWS, sql: str = SQL) -> int:
    """Pages, orjson, csv, upload."""
    session, root = session_of(login)
    loaded = 0
    for rows in _pages(session, root, job_rows, sql):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(TARGETS.values())
        writer.writerows(rows)
        job = {"object": OBJECT, "operation": "upsert", "externalIdFieldName": EXTERNAL_ID, "lineEnding": "LF"}
        created = session.post(f"{root}/jobs/ingest", json=job, timeout=60).json()["id"]
        headers = {"Content-Type": "text/csv"}
        content = text.getvalue().encode()
        session.put(f"{root}/jobs/ingest/{created}/batches", data=content, headers=headers, timeout=600)
        session.patch(f"{root}/jobs/ingest/{created}", json={"state": "UploadComplete"}, timeout=60)
        loaded += len(rows)
    return loaded


def simple_salesforce_file(login: Login) -> int:
    """The pages into a file; one job after the other from it."""
    session, root = session_of(login)
    bulk = _simple_salesforce(session, root)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(TARGETS.values())
            for rows in _pages(session, root):
                writer.writerows(rows)
        results = bulk.upsert(str(path), external_id_field=EXTERNAL_ID, batch_size=JOB_ROWS, wait=1)
    return sum(result["numberRecordsProcessed"] for result in results)


def simple_salesforce_dicts(login: Login) -> int:
    """The pages as dicts; a job for each 10,000."""
    session, root = session_of(login)
    bulk = _simple_salesforce(session, root)
    loaded = 0
    for rows in _pages(session, root):
        records = [dict(zip(TARGETS.values(), row, strict=True)) for row in rows]
        results = bulk.upsert(records=records, external_id_field=EXTERNAL_ID, batch_size=JOB_ROWS, wait=1)
        loaded += sum(result["numberRecordsProcessed"] for result in results)
    return loaded


def _simple_salesforce(session: requests.Session, root: str) -> Any:  # noqa: ANN401 - made at run time
    from simple_salesforce.bulk2 import SFBulk2Handler

    token = str(session.headers["Authorization"]).removeprefix("Bearer ")
    return getattr(SFBulk2Handler(token, f"{root}/jobs/"), OBJECT)
