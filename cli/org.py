"""The simulated org as a server of its own."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import randbelow, token_urlsafe
from threading import Event
from typing import Any

import yaml

from cli.credentials import CLIENT_ID, CLIENT_SECRET
from cli.errors import UsageMistake
from cli.local_options import LOADS_DIR
from cli.rehearsal import source_of_loads
from cli.request import load_named
from local.org import (
    Faults,
    FaultsFileError,
    OrgServer,
    OrgSettings,
    Source,
    SourceFileError,
    credentials,
    file_source,
    generated_opportunities,
)
from local.org.flights import FlightsError, flights_source, prepare_flights
from local.org.schema import Field, FieldType
from local.org.sources import EXTERNAL_ID

_FLIGHTS = "flights"
_TYPES = {
    FieldType.DOUBLE: "number",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.DATETIME: "datetime",
}
"""What a load's file calls the types of fields that it does not write as text."""
_FLIGHTS_DIRECTORY = Path(".massive-upload")


def serve_org(settings: OrgSettings, load_names: Sequence[str], loads_dir: Path) -> None:
    """Serve an org until SIGINT or SIGTERM.

    Args:
        settings: the org.
        load_names: the loads that it was made for; none where it was made for a source.
        loads_dir: where these loads are.

    Raises:
        UsageMistake: the port cannot be had.
    """
    try:
        server = OrgServer(settings)
    except OSError as error:
        raise UsageMistake(
            f"--port {settings.port} cannot be had on 127.0.0.1 ({error.strerror}); give another one, or 0 for any."
        ) from error
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server:
        print(directions(server.url, settings, load_names, loads_dir), flush=True)
        ended.wait()
    print("The simulated org has ended.")


def files_of_loads(given: Sequence[str]) -> dict[str, Path]:
    """The files of loads by their names.

    Args:
        given: as on the command line, such as "account=accounts.csv".

    Raises:
        UsageMistake: one is of another form, or names a load again.
    """
    files: dict[str, Path] = {}
    for each in given:
        name, _, path = each.partition("=")
        if not (name and path):
            raise UsageMistake(f"--load {each} names no load and file; write --load account=accounts.csv, for example.")
        if name in files:
            raise UsageMistake(f"--load {each} gives {name} a second file; give a load one file.")
        files[name] = Path(path)
    return files


def org_settings(
    *,
    source: str | None,
    load_files: Mapping[str, Path],
    loads_dir: Path,
    rows: int,
    object_name: str | None,
    key: str | None,
    parent: str | None,
    faults_file: Path | None,
    port: int,
    time_scale: float,
    behaviour: Mapping[str, Any],
) -> OrgSettings:
    """The settings that the options ask for.

    Args:
        source: a file's path, or the name of data that can be had; None generates opportunities.
        load_files: by the names of loads, the files that are their sources; with them there is no `source`.
        loads_dir: where these loads are.
        rows: how many opportunities.
        object_name: the target object of a file's rows.
        key: the file's key column.
        parent: the file's column with the parent's key.
        faults_file: what is to go wrong.
        port: where to listen.
        time_scale: how many times faster than real time it works.
        behaviour: further settings of `OrgSettings`, by name; what is None is left as it is there.

    Raises:
        UsageMistake: a file cannot be used.
        InvalidLoad: a load is wrong.
    """
    try:
        faults = Faults.load(faults_file) if faults_file is not None else None
        if load_files:
            served = source_of_loads([(load_named(loads_dir, name), _file(path)) for name, path in load_files.items()])
        else:
            served = _source(source, rows, object_name=object_name, key=key, parent=parent)
    except (FaultsFileError, SourceFileError, FlightsError) as error:
        raise UsageMistake(str(error)) from error
    except OSError as error:
        raise UsageMistake(f"{error.filename}: {error.strerror}; name a file that can be read.") from error
    given = {name: value for name, value in behaviour.items() if value is not None}
    if served.columns or load_files:  # every user of the machine can reach the port
        given["client_secret"] = token_urlsafe()
    # It begins empty each time, so it is another org than the one that ran before: no run of that one goes on here.
    org_id = f"00D7Q{randbelow(10**10):010}UAA"
    return OrgSettings(source=served, port=port, faults=faults, time_scale=time_scale, org_id=org_id, **given)


def directions(url: str, settings: OrgSettings, load_names: Sequence[str] = (), loads_dir: Path = LOADS_DIR) -> str:
    """How to use a simulated org: its address first.

    Args:
        url: the address.
        settings: the org.
        load_names: the loads that it was made for; by default one of its source.
        loads_dir: where these loads are.
    """
    tables = ", ".join(table.name for table in settings.source.tables)
    objects = ", ".join(each.name for each in settings.source.objects)
    name = _load_name(settings.source)
    options = f"--local --org-url {url} --time-scale {settings.time_scale:g}"
    if loads_dir != LOADS_DIR:
        options += f" --loads-dir {shlex.quote(str(loads_dir))}"
    runs = "".join(f"  massive-upload run {each} {options}\n" for each in load_names or [name])
    described = f"\n{_described(settings.source, name)}" if settings.source.columns else ""
    return f"""\
Simulated org: {url}
  Data Cloud holds {tables}; Core takes {objects}.
  Time passes {settings.time_scale:g} times as fast as outside. Everything is in memory, and gone at the end: the next
  one is another org, and reads a file anew.
  Stop it with Ctrl-C.
{described}
Load into it:
  export {CLIENT_ID}={credentials.CLIENT_ID} {CLIENT_SECRET}={settings.client_secret}
{runs}
Look at what has arrived, in Python:
  import requests
  form = {{"grant_type": "client_credentials"}}
  form |= {{"client_id": "{credentials.CLIENT_ID}", "client_secret": "{settings.client_secret}"}}
  token = requests.post("{url}/services/oauth2/token", data=form, timeout=10).json()["access_token"]
  headers = {{"Authorization": f"Bearer {{token}}"}}
  rows = requests.get("{url}/__org__/target/{settings.source.objects[-1].name}", headers=headers, timeout=60).json()"""


def _load_name(source: Source) -> str:
    """What a load of this source may be called; those of the objects that can be generated are in loads/."""
    name = re.sub(r"[^a-z0-9_-]", "_", source.objects[-1].name.removesuffix("__c").lower())
    return name[:40] if source.columns else {"flight": "flights"}.get(name, name)


def _described(source: Source, name: str) -> str:
    """A load's file for a source that is a file, and the columns that it leaves out: a load cannot name a quote."""
    fields = {column: field for column, field in source.columns.items() if field is not None and '"' not in column}
    key = next(column for column, field in fields.items() if field.external_id)
    parent = next((column for column, field in fields.items() if field.reference_to), None)
    load: dict[str, Any] = {
        "source": {"object": source.tables[0].name, "key": key} | ({"parent": parent} if parent else {}),
        "target": {"object": source.objects[-1].name, "external_id": EXTERNAL_ID},
        "fields": {column: _mapping(field) for column, field in fields.items()},
    }
    if parent is None:
        load["lock_risk"] = "none"
    text = yaml.safe_dump(load, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1_000)
    left_out = [column for column in source.columns if column not in fields]
    note = f"  # left out, as no field is theirs or no load can name them: {', '.join(left_out)}\n" if left_out else ""
    lines = "".join(f"  {line}\n" for line in text.splitlines())
    return f"Describe the load, in a file such as loads/{name}.yaml:\n{lines}{note}"


def _mapping(field: Field) -> str | dict[str, str]:
    if field.reference_to:
        return f"{field.relationship_name}.{EXTERNAL_ID}"
    kind = _TYPES.get(field.type)
    return {"to": field.name, "type": kind} if kind else field.name


def _source(source: str | None, rows: int, *, object_name: str | None, key: str | None, parent: str | None) -> Source:
    if source is None:
        return generated_opportunities(rows)
    if source == _FLIGHTS:
        return flights_source(prepare_flights(_FLIGHTS_DIRECTORY))
    return file_source(
        _file(Path(source), or_else=f", or '{_FLIGHTS}'"), object_name=object_name, key=key, parent=parent
    )


def _file(path: Path, *, or_else: str = "") -> Path:
    if not path.is_file():
        raise UsageMistake(f"{path}: there is no such file; name a CSV or Parquet file{or_else}.")
    return path
