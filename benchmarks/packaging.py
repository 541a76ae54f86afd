"""What the functions' packages weigh, and how long it takes to import each handler.

Run it as ``python -m benchmarks.packaging``.

The weights are those of what ``cdk deploy`` uploads. The times are those of this machine's Python, processor and
packages, not those of the arm64 packages on Lambda; they compare handlers and changes with one another.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from infra.config import load_directory
from infra.functions import FUNCTIONS
from infra.synth import LOADS_DIR, ROOT, synthesize

IMPORTS = 3
"""Fresh processes for each handler, after a first one that fills the caches; the median counts."""

_TIMED_IMPORT = """\
import importlib, sys, time
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
importlib.import_module(sys.argv[2])
print(time.perf_counter() - began)
"""


def main() -> None:
    """Print both tables as Markdown."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        assembly = synthesize(directory / "cdk.out", loads=load_directory(ROOT / LOADS_DIR), bundle=True)
        code = next(path for path in _assets(assembly) if (path / "handlers").is_dir())
        layer = next(path for path in _assets(assembly) if (path / "python").is_dir())
        print("| package | zipped, MB | unzipped, MB | files |\n|---|---|---|---|")
        for name, asset in (("layer", layer), ("code", code)):
            files = [path for path in sorted(asset.rglob("*")) if path.is_file()]
            unzipped_bytes = sum(path.stat().st_size for path in files)
            zipped_bytes = _zipped_bytes(asset, files, directory / f"{name}.zip")
            print(f"| {name} | {zipped_bytes / 1e6:.2f} | {unzipped_bytes / 1e6:.2f} | {len(files)} |")
        print("\n| handler | without bytecode, s | with bytecode, s |\n|---|---|---|")
        for spec in FUNCTIONS:
            handler = f"handlers.{spec.module}"
            anew, cached = (_import_seconds(code, handler, directory / kind) for kind in ("anew", "cached"))
            print(f"| {spec.name} | {anew:.2f} | {cached:.2f} |")


def _assets(assembly: Path) -> Iterator[Path]:
    return assembly.glob("asset.*")


def _zipped_bytes(asset: Path, files: list[Path], archive: Path) -> int:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            zipped.write(path, path.relative_to(asset))
    return archive.stat().st_size


def _import_seconds(code: Path, handler: str, bytecode: Path) -> float:
    """The median time of importing a handler in a process of its own.

    Args:
        code: the asset with the handlers.
        handler: the module.
        bytecode: where Python looks for compiled modules instead of beside them; where it is named ``cached`` the
            first process fills it, else every process compiles anew, as on Lambda, whose layers hold no bytecode.
    """
    # -I: neither the host's PYTHONDONTWRITEBYTECODE nor its PYTHONPATH counts.
    options = ["-I", *([] if bytecode.name == "cached" else ["-B"]), "-X", f"pycache_prefix={bytecode}"]
    command = [sys.executable, *options, "-c", _TIMED_IMPORT, str(code), handler]
    seconds = [
        float(subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout)  # noqa: S603 - ours
        for _ in range(1 + IMPORTS)
    ]
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
