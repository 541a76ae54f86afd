"""Synthesizes the stack in a process of its own.

The CDK runs a Node.js, which lives as long as the process that imported it: Ctrl-C in the terminal would end it behind
the back of a run, and it would hold memory that the run can use.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.environment import environment_without_login
from massive_upload.domain.load import Load

STACK_NAME = "MassiveUpload"
ROOT = Path(__file__).parents[1]


def synthesize_apart(outdir: Path, load: Load) -> Path:
    """Write the cloud assembly of a stack with one load.

    Args:
        outdir: where to; an absolute path.
        load: the compiled load.

    Returns:
        The assembly's directory.

    Raises:
        RuntimeError: the synthesis failed, with what it said.
    """
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "cli.synthesis", str(outdir)],
        input=load.model_dump_json(),
        cwd=ROOT,
        env=environment_without_login(),
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The stack cannot be synthesized: {done.stderr.strip()}")
    return outdir


def main() -> None:
    """Synthesize the load of the standard input to the directory of the first argument."""
    from infra.synth import synthesize

    load = Load.model_validate_json(sys.stdin.read())
    synthesize(Path(sys.argv[1]), loads={load.name: load}, validate=False, stack_name=STACK_NAME)


if __name__ == "__main__":
    main()
