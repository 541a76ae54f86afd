"""The seeded bugs themselves are tried by `make bugs`; here only that each of them could be."""

import ast
import re

import pytest

from tests.seeded_bugs.bugs import BUGS, Bug
from tests.seeded_bugs.copies import ROOT, BugDoesNotApplyError, with_bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_applies_to_the_product_and_names_a_test_that_exists(bug: Bug):
    changed = with_bug((ROOT / bug.path).read_text(encoding="utf-8"), bug)
    ast.parse(changed)
    path, _, name = bug.caught_by.partition("::")
    tests = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name}(" in tests if name else "def test_" in tests


def test_the_document_names_every_bug_and_what_catches_it():
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| `([^|`]+)`(?: `([^|`]+)`)? \|$", text, re.MULTILINE)
    caught = [(bug.name, *bug.caught_by.rpartition("/")[2].partition("::")[::2]) for bug in BUGS]
    assert set(rows) >= set(caught)


def test_no_two_bugs_have_one_name():
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_a_bug_whose_text_is_gone_says_what_to_do():
    with pytest.raises(BugDoesNotApplyError, match="mend the bug's `right`"):
        with_bug("something else", BUGS[0])
