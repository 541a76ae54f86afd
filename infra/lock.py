"""Writes ``lambdas/requirements.lock``: every package of the layer, with version and hash.

Run it as ``python -m infra.lock``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.assets import LAMBDAS, LOCK, TARGET_OPTIONS

HEADER = """\
# Made by 'python -m infra.lock' from requirements.txt, for Python 3.14 on Linux arm64. Do not edit.
"""


def resolve(requirements: Path) -> dict[str, Any]:
    """Pip's installation report for the Lambda runtime (pip's manual, "Installation Report")."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        subprocess.run(  # noqa: S603 - no shell; the arguments are this module's own
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *(f"--report={report}", f"--target={scratch}", f"--requirement={requirements}", *TARGET_OPTIONS),
            ],
            check=True,
        )
        answer: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return answer


def render(report: dict[str, Any]) -> str:
    """The lock file's text, sorted by name."""
    lines = []
    for item in report["install"]:
        metadata = item["metadata"]
        sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{metadata['name'].lower()}=={metadata['version']} --hash=sha256:{sha256}")
    return HEADER + "\n".join(sorted(lines)) + "\n"


if __name__ == "__main__":
    LOCK.write_text(render(resolve(LAMBDAS / "requirements.txt")), encoding="utf-8")
