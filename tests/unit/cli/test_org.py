"""What ``massive-upload org`` prints for a file of one's own."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from cli.org import directions, files_of_loads, org_settings
from infra.config import load_file
from local.org import OrgSettings, SourceFileError, file_source, generated_opportunities
from local.org.credentials import CLIENT_SECRET

URL = "http://127.0.0.1:1"


def described(path: Path) -> str:
    text = directions(URL, OrgSettings(source=file_source(path)))
    return textwrap.dedent(text.partition(".yaml:\n")[2].partition("\n\n")[0])


def test_the_load_of_a_file_names_every_column_that_has_a_field_and_says_which_have_none(tmp_path):
    source = tmp_path / "Übung 1.csv"
    source.write_text('no,"a""b",External_ID__c,Name,name__c,on,1st\n007,x,y,A,B,2026-01-31,1.5\n')
    text = described(source)
    (tmp_path / "load.yaml").write_text(text)
    load = load_file(tmp_path / "load.yaml")

    assert load.target.object == "X_bung_1__c"
    assert {column: (mapping.to, mapping.type.value) for column, mapping in load.fields.items()} == {
        "no": ("External_ID__c", "text"),
        "Name": ("Name", "text"),
        "on": ("on", "date"),
        "1st": ("X1st", "number"),
    }
    assert text.splitlines()[-1].endswith(': a"b, External_ID__c, name__c')


def test_rows_of_ones_own_are_served_to_nobody_who_does_not_know_the_secret_that_is_printed(tmp_path):
    source = tmp_path / "customers.csv"
    source.write_text("no,name\n1,A\n")
    asked: dict[str, Any] = {
        "rows": 1,
        "load_files": {},
        "loads_dir": tmp_path,
        "object_name": None,
        "key": None,
        "parent": None,
        "faults_file": None,
        "port": 0,
    }
    (mine, other, generated) = (
        org_settings(source=given, time_scale=1, behaviour={}, **asked) for given in (str(source), str(source), None)
    )
    assert len({mine.client_secret, other.client_secret, CLIENT_SECRET}) == 3
    assert generated.client_secret == CLIENT_SECRET
    assert directions(URL, mine).count(mine.client_secret) == 2
    assert mine.client_secret not in repr(mine)


def test_an_org_that_is_made_for_loads_tells_how_to_run_them_and_its_rows_to_nobody_else(tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}.yaml").write_text(
            f"source: {{object: {name}__dlm, key: no}}\ntarget: {{object: Thing__c, external_id: No__c}}\n"
            "fields: {no: No__c}\nlock_risk: none\n"
        )
        (tmp_path / f"{name}.csv").write_text("no\n1\n")
    files = files_of_loads([f"{name}={tmp_path}/{name}.csv" for name in ("first", "second")])
    asked: dict[str, Any] = dict.fromkeys(("source", "object_name", "key", "parent", "faults_file"))
    settings = org_settings(**asked, load_files=files, loads_dir=tmp_path, rows=1, port=0, time_scale=5, behaviour={})
    text = directions(URL, settings, list(files), tmp_path)
    for name in ("first", "second"):
        run = f"  massive-upload run {name} --local --org-url {URL} --time-scale 5"
        assert f"{run} --loads-dir {tmp_path}\n" in text
        assert f"{run}\n" in directions(URL, settings, list(files))
    assert "Data Cloud holds first__dlm, second__dlm; Core takes Thing__c." in text
    assert "Describe the load" not in text
    assert settings.client_secret != CLIENT_SECRET


def test_a_key_that_no_load_can_name_is_refused(tmp_path):
    (tmp_path / "keys.csv").write_text('"k""x",b\n1,2\n')
    with pytest.raises(SourceFileError, match="no load can name the column 'k\"x'; take the quotes out"):
        file_source(tmp_path / "keys.csv")


def test_without_a_file_the_load_of_this_repository_is_named():
    text = directions(URL, OrgSettings(source=generated_opportunities(10)))
    assert f"massive-upload run opportunity --local --org-url {URL}" in text
    assert "Describe the load" not in text
