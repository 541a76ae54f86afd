"""Loads as their files say, into an org that was made for them and for files of one's own."""

from pathlib import Path

from cli.rehearsal import source_of_loads
from infra.config import load_directory
from infra.synth import ROOT
from massive_upload.domain.load import LoadSequence
from tests.integration.usecases.world import open_world

LOADS = load_directory(ROOT / "loads")
ACCOUNTS = """\
ExternalId__c,Name__c
007,One
008,0042
"""
OPPORTUNITIES = """\
ExternalId__c,Name__c,AccountKey__c,Amount__c,Probability__c,StageName__c,CloseDate__c,IsPrivate__c,Description__c,LastModified__c
O-1,A,007,1.50,10,New,2026-01-31,true,"first, of two",2026-01-02T10:00:00Z
O-2,B,009,0.10,20,New,2026-02-01,false,,2026-01-03T10:00:00Z
O-3,C,,,,New,2026-02-01,false,,
"""


def write(directory: Path, name: str, content: str) -> Path:
    path = directory / name
    path.write_text(content)
    return path


def test_a_sequence_of_loads_brings_in_the_rows_whose_parents_are_among_those_that_it_has_brought(tmp_path):
    source = source_of_loads(
        [
            (LOADS["account"], write(tmp_path, "a.csv", ACCOUNTS)),
            (LOADS["opportunity"], write(tmp_path, "o.csv", OPPORTUNITIES)),
        ]
    )
    with open_world(source=source, load=LOADS["opportunity"]) as world:
        world.loads = {"account": LOADS["account"]}
        world.sequences = {"nightly": LoadSequence(name="nightly", sequence=("account", "opportunity"))}
        world.execute({"load": "nightly"})
        named = {row["External_ID__c"]: row["Name"] for row in world.server.backend.rows("Account")}
        assert named == {"007": "One", "008": "0042"}
        first, third = world.server.backend.rows("Opportunity")
        assert (first["Amount"], first["CloseDate"], first["Description"]) == ("1.50", "2026-01-31", "first, of two")
        assert first["AccountId"] is not None
        assert (third["External_ID__c"], third["AccountId"], third["Amount"]) == ("O-3", None, None)
