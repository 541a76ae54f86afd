"""Copies of the tree with one bug in each."""

import shutil
import subprocess
from pathlib import Path

from tests.seeded_bugs.bugs import Bug

ROOT = Path(__file__).resolve().parents[2]


class BugDoesNotApplyError(ValueError):
    """The product has changed: the bug's text is not there, or is there more than once."""


def with_bug(text: str, bug: Bug) -> str:
    """The file's text with the bug.

    Raises:
        BugDoesNotApplyError: mend the bug's `right`, so that it is the text of the product again.
    """
    found = text.count(bug.right)
    if found != 1:
        raise BugDoesNotApplyError(f"{bug.path} holds the text of {bug.name!r} {found} times: mend the bug's `right`.")
    return text.replace(bug.right, bug.wrong)


def copy_tree(directory: Path) -> Path:
    """What git knows of the tree, and what is new in it, in a directory."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        source, target = ROOT / name, directory / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return directory
