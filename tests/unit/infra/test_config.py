"""Loads as files: what is accepted, and what is said of every kind of mistake."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from infra.config import load_directory, load_file
from infra.schema import load_schema, rendered_schemas, sequence_schema
from massive_upload.domain.load import FieldMapping, FieldType, Load
from massive_upload.domain.presets import LockRisk
from massive_upload.errors import InvalidLoad

ROOT = Path(__file__).parents[3]

GOOD = """\
source: {object: Opportunity__dlm, key: ExternalId__c}
target:
  object: Opportunity
  external_id: External_ID__c
fields:
  ExternalId__c: External_ID__c
  Amount__c:
    to: Amount
    type: number
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a load is written; messages name it ``loads/opportunity.yaml``."""
    monkeypatch.chdir(tmp_path)
    path = Path("loads/opportunity.yaml")
    path.parent.mkdir()
    return path


def mistakes(path: Path, text: str, sets: tuple[str, ...] = ()) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidLoad) as raised:
        load_file(path, sets=sets)
    return str(raised.value).splitlines()


def test_a_good_file_is_a_load_named_after_it(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    load = load_file(file)
    assert load.name == "opportunity"
    assert load.lock_risk is LockRisk.MEDIUM
    assert load.fields == {
        "ExternalId__c": FieldMapping(to="External_ID__c"),
        "Amount__c": FieldMapping(to="Amount", type=FieldType.NUMBER),
    }


def test_the_loads_of_this_repository_compile() -> None:
    loads = load_directory(ROOT / "loads")
    assert set(loads) == {"account", "flights", "opportunity"}
    assert loads["opportunity"].lock_risk is LockRisk.HIGH
    assert loads["flights"].fields["tailnum"].to == "Aircraft__r.Tail_Number__c"
    assert len(loads["flights"].fields) == 20


def test_null_is_a_key_and_no_and_on_are_text(file: Path) -> None:
    text = GOOD + "    null: keep\n  on: No\n"
    file.write_text(text.replace("Opportunity__dlm", "no"), encoding="utf-8")
    load = load_file(file)
    assert load.source.object == "no"
    assert load.fields["Amount__c"].null == "keep"
    assert load.fields["on"].to == "No"


def test_times_and_dates_are_text(file: Path) -> None:
    file.write_text(GOOD + "schedule: {cron: '0 22 ? * * *', window: 22:00-06:00}\n", encoding="utf-8")
    schedule = load_file(file).schedule
    assert schedule is not None
    assert schedule.window == "22:00-06:00"


def test_numbers_with_leading_zeros_are_decimal(file: Path) -> None:
    file.write_text(GOOD + "partitioning: {count: 010}\nsample: {rows: +9}\n", encoding="utf-8")
    load = load_file(file)
    assert (load.partitioning.count, load.sample.rows) == (10, 9)


def test_a_percentage_may_have_a_fraction(file: Path) -> None:
    file.write_text(GOOD + "success_criterion_percent: 99.5\n", encoding="utf-8")
    assert load_file(file).success_criterion_percent == 99.5


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


MISTAKES = {
    "a misspelled value": (
        replaced("type: number", "type: nubmer"),
        "loads/opportunity.yaml:9: fields.Amount__c.type: 'nubmer' is not one of "
        "text, number, boolean, date, datetime; write number",
    ),
    "a value like no other": (
        replaced("type: number", "type: decimal"),
        "loads/opportunity.yaml:9: fields.Amount__c.type: 'decimal' is not one of "
        "text, number, boolean, date, datetime",
    ),
    "no where a choice is wanted": (
        GOOD + "    null: no\n",
        "loads/opportunity.yaml:10: fields.Amount__c.null: 'no' is not one of clear, keep",
    ),
    "a misspelled key": (
        GOOD + "lock_rsik: high\n",
        "loads/opportunity.yaml:10: lock_rsik: unknown key; write lock_risk (the keys here are source, target, "
        "fields, lock_risk, duplicates, partitioning, pace, breaker, budget, sample, incremental, "
        "success_criterion_percent, schedule)",
    ),
    "an unknown key inside": (
        GOOD + "partitioning:\n  by: key\n  xyz: 3\n",
        "loads/opportunity.yaml:12: partitioning.xyz: unknown key; remove it, or indent it under its group "
        "(the keys here are by, count, org_batches, lane_rows, max_concurrency)",
    ),
    "a key without a blank behind its colon": (
        GOOD + "partitioning: {by: key, count:3}\n",
        "loads/opportunity.yaml:10: partitioning.count:3: unknown key; write a blank after the colon "
        "(the keys here are by, count, org_batches, lane_rows, max_concurrency)",
    ),
    "another operation": (
        GOOD + "operation: delete\n",
        "loads/opportunity.yaml:10: operation: unknown key; remove it: every load upserts, and nothing else "
        "(the keys here are source, target, fields, lock_risk, duplicates, partitioning, pace, breaker, budget, "
        "sample, incremental, success_criterion_percent, schedule)",
    ),
    "an unknown key of a field": (
        GOOD + "    tpye: number\n",
        "loads/opportunity.yaml:10: fields.Amount__c.tpye: unknown key; write type (the keys here are to, type, null)",
    ),
    "a name, which is the file's": (
        GOOD + "name: Opportunity\n",
        "loads/opportunity.yaml:10: name: unknown key; remove it (the file's name is the load's name)",
    ),
    "a missing key": (
        replaced("  external_id: External_ID__c\n", ""),
        "loads/opportunity.yaml:2: target.external_id: is missing; write 'external_id: ...' here",
    ),
    "a missing section": (
        replaced("source: {object: Opportunity__dlm, key: ExternalId__c}\n", ""),
        "loads/opportunity.yaml: source: is missing; write 'source: ...' here",
    ),
    "a number for a text": (
        replaced("object: Opportunity__dlm", "object: 42"),
        "loads/opportunity.yaml:1: source.object: 42 is not text; write it in quotes: '42'",
    ),
    "a text for a number": (
        GOOD + 'partitioning: {count: "5"}\n',
        "loads/opportunity.yaml:10: partitioning.count: '5' is not a whole number; write digits without quotes",
    ),
    "a truth value for a number": (
        GOOD + "partitioning: {count: true}\n",
        "loads/opportunity.yaml:10: partitioning.count: true is not a whole number; write digits without quotes",
    ),
    "a text for a truth value": (
        GOOD + "pace: {adaptive: no}\n",
        "loads/opportunity.yaml:10: pace.adaptive: 'no' is neither true nor false; write one of them, without quotes",
    ),
    "a text for a fraction": (
        GOOD + 'success_criterion_percent: "99"\n',
        "loads/opportunity.yaml:10: success_criterion_percent: '99' is not a number; write digits without quotes",
    ),
    "too small a number": (
        GOOD + "partitioning: {count: 0}\n",
        "loads/opportunity.yaml:10: partitioning.count: 0 is too small; write 1 or more",
    ),
    "too large a number": (
        GOOD + "partitioning: {count: 1001}\n",
        "loads/opportunity.yaml:10: partitioning.count: 1001 is too large; write 1000 or less",
    ),
    "a number in a list": (
        GOOD + "pace:\n  retry_delays_seconds:\n  - 2\n  - 601\n",
        "loads/opportunity.yaml:13: pace.retry_delays_seconds.1: 601 is too large; write 600 or less",
    ),
    "a number for a list": (
        GOOD + "pace: {retry_delays_seconds: 2}\n",
        "loads/opportunity.yaml:10: pace.retry_delays_seconds: 2 is not a list; write it in brackets: [2]",
    ),
    "a value for a section": (
        GOOD + "partitioning: key\n",
        "loads/opportunity.yaml:10: partitioning: 'key' is not a group of keys; write 'key: value' lines under it",
    ),
    "a list for fields": (
        "source: {object: A, key: K}\ntarget: {object: A, external_id: K}\nfields: [K]\n",
        """loads/opportunity.yaml:3: fields: ["K"] is not a group of keys; write 'key: value' lines under it""",
    ),
    "an impossible field": (
        replaced("to: Amount", "to: Amount in EUR"),
        "loads/opportunity.yaml:8: fields.Amount__c.to: 'Amount in EUR' cannot be used here; "
        "write a field such as Name, Amount__c or Account.External_ID__c",
    ),
    "an impossible column": (
        replaced("  Amount__c:", "  'Amount\"c':"),
        "loads/opportunity.yaml:7: fields.Amount\"c: 'Amount\"c' cannot be used here; "
        "write a name without double quotes and control characters",
    ),
    "nothing for a key": (
        replaced("key: ExternalId__c", "key: null"),
        "loads/opportunity.yaml:1: source.key: null is not text; write a text",
    ),
    "an empty filter": (
        replaced("key: ExternalId__c}", 'key: ExternalId__c, where: ""}'),
        "loads/opportunity.yaml:1: source.where: is empty; write a value, or leave the key out if it is optional",
    ),
    "too long a name": (
        replaced("Opportunity__dlm", "X" * 256),
        f"loads/opportunity.yaml:1: source.object: String should have at most 255 characters (it is '{'X' * 256}')",
    ),
    "no fields": (
        "source: {object: A, key: K}\ntarget: {object: A, external_id: K}\nfields: {}\n",
        "loads/opportunity.yaml:3: fields: is empty; write at least one",
    ),
    "a key that is not mapped": (
        replaced("  ExternalId__c: External_ID__c\n", ""),
        "loads/opportunity.yaml:5: fields: the source's key 'ExternalId__c' is not mapped; "
        "add 'ExternalId__c: External_ID__c'",
    ),
    "two columns for one field": (
        GOOD + "  Total__c: Amount\n",
        "loads/opportunity.yaml:5: fields: 'Total__c' and 'Amount__c' both go to 'Amount'; map one of them elsewhere",
    ),
    "the newest of duplicates without a date": (
        GOOD + "duplicates: keep_newest\n",
        "loads/opportunity.yaml:10: duplicates: keep_newest needs to know which row is newest; "
        "give source.modified, or say duplicates: stop",
    ),
    "a key that is there twice": (
        GOOD + "  ExternalId__c: Name\n",
        "loads/opportunity.yaml:10: the key 'ExternalId__c' is there twice (first in line 6); remove one of them",
    ),
    "a tab": (
        GOOD + "\tlock_risk: high\n",
        "loads/opportunity.yaml:10: found character '\\t' that cannot start any token; write spaces instead of the tab",
    ),
    "an open bracket": (
        replaced("ExternalId__c}", "ExternalId__c"),
        "loads/opportunity.yaml:2: expected ',' or '}', but got ':'; look there and in the line before for a "
        "missing blank after a colon, an open bracket or quote, or a line that is indented otherwise than its group",
    ),
    "an empty file": (
        "# nothing yet\n",
        "loads/opportunity.yaml:1: holds no keys; begin with 'source:' and 'target:'",
    ),
    "a tag": (
        GOOD + "pace: !!python/object:os.system {}\n",
        "loads/opportunity.yaml:10: tags (!name) are not supported; write the plain value",
    ),
    "a second document": (
        GOOD + "---\n" + GOOD,
        "loads/opportunity.yaml:10: but found another document",
    ),
    "a control character": (
        GOOD + "lock_risk: \x00high\n",
        "loads/opportunity.yaml: is not YAML: unacceptable character #x0000: special characters are not allowed",
    ),
    "an alias": (
        GOOD + "pace: &p {}\nsample: *p\n",
        "loads/opportunity.yaml:11: aliases (*name) are not supported; write the value out",
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_its_cure(file: Path, text: str, message: str) -> None:
    assert mistakes(file, text) == [message]


def test_every_mistake_of_a_file_is_named(file: Path) -> None:
    text = replaced("type: number", "type: nubmer") + "lock_risk: hihg\n"
    assert [line.split(": ")[:2] for line in mistakes(file, text)] == [
        ["loads/opportunity.yaml:9", "fields.Amount__c.type"],
        ["loads/opportunity.yaml:10", "lock_risk"],
    ]


def test_a_file_that_is_not_utf_8_is_refused(file: Path) -> None:
    file.write_bytes(b"source: {object: Caf\xe9}\n")
    with pytest.raises(InvalidLoad, match=r"^loads/opportunity.yaml: is not UTF-8 text \(byte 20\)"):
        load_file(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(InvalidLoad, match=r"^loads/opportunity.yaml: there is no such file$"):
        load_file(file)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Opportunity.yaml",
            "loads/Opportunity.yaml: 'Opportunity' is no name for a load; "
            "use up to 40 small letters, digits, '-' and '_', beginning with a letter",
        ),
        ("account.yml", "loads/account.yml: a load's file ends in .yaml; rename it to account.yaml"),
    ],
)
def test_a_file_with_a_wrong_name_is_refused(file: Path, name: str, message: str) -> None:
    file.with_name(name).write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidLoad) as raised:
        load_directory(file.parent)
    assert str(raised.value) == message


def test_every_wrong_file_of_a_directory_is_named(file: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        file.with_name(name).write_text(GOOD + "xyz: 1\n", encoding="utf-8")
    with pytest.raises(InvalidLoad) as raised:
        load_directory(file.parent)
    assert [line.partition(" ")[0] for line in str(raised.value).splitlines()] == [
        "loads/a.yaml:10:",
        "loads/b.yaml:10:",
    ]


@pytest.mark.parametrize("directory", ["loads", "elsewhere"])
def test_a_directory_without_loads_is_refused(file: Path, directory: str) -> None:
    with pytest.raises(InvalidLoad) as raised:
        load_directory(Path(directory))
    assert str(raised.value) == f"{directory}: holds no loads; write {directory}/<name>.yaml"


def test_sets_change_a_load_before_it_is_validated(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    sets = (
        "partitioning.count=5",
        "lock_risk=low",
        "fields.Amount__c.null=keep",
        "fields.Name__c=Name",
        "pace.retry_delays_seconds=[3, 7, 15]",
        "fields.ExternalId__c.type=text",
        "source.where=Stage__c = 'Won'",
    )
    load = load_file(file, sets=sets)
    assert load.partitioning.count == 5
    assert load.lock_risk is LockRisk.LOW
    assert load.fields["Amount__c"] == FieldMapping(to="Amount", type=FieldType.NUMBER, null="keep")
    assert load.fields["Name__c"] == FieldMapping(to="Name")
    assert load.pace.retry_delays_seconds == (3, 7, 15)
    assert load.source.where == "Stage__c = 'Won'"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "partitioning.cuont=5",
            "--set partitioning.cuont=5: partitioning.cuont: unknown key; write count "
            "(the keys here are by, count, org_batches, lane_rows, max_concurrency)",
        ),
        (
            "partitioning.count=0",
            "--set partitioning.count=0: partitioning.count: 0 is too small; write 1 or more",
        ),
        (
            "partitioning.count",
            "--set partitioning.count: is no assignment; write key=value, such as partitioning.count=5",
        ),
        (
            "duplicates=keep_newest",
            "--set duplicates=keep_newest: duplicates: keep_newest needs to know which row is newest; "
            "give source.modified, or say duplicates: stop",
        ),
        ("source.key.x=5", "--set source.key.x=5: source.key is a value and holds no keys"),
        (
            "lock_risk=[",
            "--set lock_risk=[: is no YAML value; put a text in single quotes, its own ones doubled: 'it''s'",
        ),
        (
            "target={object: Account}",
            "--set target={object: Account}: target.external_id: is missing; write 'external_id: ...' here",
        ),
    ],
)
def test_a_wrong_set_is_named_instead_of_a_line(file: Path, assignment: str, message: str) -> None:
    assert mistakes(file, GOOD, (assignment,)) == [message]


def test_a_set_that_does_not_fit_the_file_is_named_beside_the_file(file: Path) -> None:
    text = replaced("key: ExternalId__c}", "key: ExternalId__c, parent: AccountKey__c}")
    words = "pace: lanes of parents have batch_rows of at most 10000"
    (mistake,) = mistakes(file, text, ("lock_risk=low", "pace.batch_rows=20000"))
    assert mistake.startswith(f"loads/opportunity.yaml with --set pace.batch_rows=20000: {words}")
    (mistake,) = mistakes(file, text + "pace: {batch_rows: 20000}\n", ("pace.delay_seconds=1",))
    assert mistake.startswith(f"loads/opportunity.yaml:10 with --set pace.delay_seconds=1: {words}")


def test_the_schema_in_the_repository_is_the_model_s() -> None:
    for path, text in rendered_schemas().items():
        assert path.read_text(encoding="utf-8") == text, "run 'python -m infra.schema'"


@pytest.mark.parametrize("path", sorted((ROOT / "loads").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_accepts_the_loads_of_this_repository(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    name, schema = ("sequence", sequence_schema()) if path.stem == "nightly" else ("load", load_schema())
    assert text.startswith(f"# yaml-language-server: $schema={name}.schema.json\n")
    jsonschema.validate(yaml.safe_load(text), schema)


def test_an_editor_refuses_what_the_compiler_refuses() -> None:
    document = yaml.safe_load(GOOD)
    document["fields"]["Amount__c"]["type"] = "decimal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, load_schema())


def test_a_compiled_load_reads_back_the_same(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    load = load_file(file)
    assert Load.model_validate(json.loads(load.model_dump_json())) == load


@pytest.mark.parametrize(
    ("condition", "mistake"),
    [
        ("1 = 1) OR (1 = 1", "the brackets do not match; write one SQL condition"),
        ("(1 = 1", "the brackets do not match; write one SQL condition"),
        ("1 = 1 -- all", "-- cannot be part of a filter; write one SQL condition, without comments"),
        ("1 = 1; DROP", "; cannot be part of a filter; write one SQL condition, without comments"),
        ("Stage__c = 'Won", "a quote ' is not closed; double a quote that is part of a text"),
    ],
)
def test_a_filter_is_one_condition(file: Path, condition: str, mistake: str) -> None:
    text = GOOD.replace("{object: Opp", f'{{where: "{condition}", object: Opp')
    assert mistakes(file, text) == [f"loads/opportunity.yaml:1: source.where: {mistake}"]


@pytest.mark.parametrize("condition", ["Name__c = 'it''s -- (' AND (Amount__c > 0)", '"Odd;(Column" IS NULL'])
def test_what_stands_in_quotes_is_no_part_of_a_filters_form(file: Path, condition: str) -> None:
    document = yaml.safe_load(GOOD)
    document["source"]["where"] = condition
    file.write_text(json.dumps(document), encoding="utf-8")
    assert load_file(file).source.where == condition
