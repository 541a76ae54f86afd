"""`make bugs`: puts each seeded bug into a copy of the tree and shows that the test named for it fails.

Words on the command line choose the bugs whose names hold one of them. Exit status 1 where a bug is not caught.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.seeded_bugs.bugs import BUGS, Bug
from tests.seeded_bugs.copies import copy_tree, with_bug

_TESTS_FAILED = 1
"""pytest's exit code for that; a test that is not found, or cannot be imported, ends with another."""


def is_caught(bug: Bug, tree: Path) -> bool:
    """Whether the named test fails while the tree has the bug; the tree is as it was afterwards."""
    path = tree / bug.path
    right = path.read_text(encoding="utf-8")
    path.write_text(with_bug(right, bug), encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": f"{tree}:{tree / 'lambdas'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ONE_FAILURE": "1",
    }
    command = [sys.executable, "-m", "pytest", "--quiet", "--exitfirst", "--no-header", bug.caught_by]
    try:
        ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    finally:
        path.write_text(right, encoding="utf-8")
    if ended.returncode not in (0, _TESTS_FAILED):
        raise RuntimeError(f"pytest could not run {bug.caught_by}:\n{ended.stdout}{ended.stderr}")
    return ended.returncode == _TESTS_FAILED


def main(words: list[str]) -> int:
    chosen = [bug for bug in BUGS if not words or any(word in bug.name for word in words)]
    missed = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = copy_tree(Path(directory))
        for bug in chosen:
            caught = is_caught(bug, tree)
            missed += not caught
            verdict = "caught" if caught else "MISSED"
            sys.stdout.write(f"{verdict}  {bug.name}\n        {bug.caught_by}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} seeded bugs are caught.\n")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
