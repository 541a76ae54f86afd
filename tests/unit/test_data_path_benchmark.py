"""The benchmark of the data path carries whole loads, whoever carries them."""

from pathlib import Path

import pytest

from benchmarks.data_path import measure, table, write_rows
from benchmarks.loader import Cost

ROWS = 300


@pytest.mark.parametrize(
    "loader",
    [
        "floor",
        "massive-upload",
        *(
            pytest.param(loader, marks=pytest.mark.soak)
            for loader in (
                "floor, mixed rows",
                "massive-upload, mixed rows",
                "simple-salesforce, file",
                "simple-salesforce, dicts",
            )
        ),
    ],
)
def test_a_loader_brings_every_row(tmp_path: Path, loader: str) -> None:
    write_rows(tmp_path, ROWS)
    cost = measure(loader, tmp_path)
    assert cost.rows == ROWS
    assert cost.cpu_seconds > 0
    assert cost.requests >= 5


def test_the_table_sets_each_loader_beside_the_floor_with_its_rows() -> None:
    found = {
        "floor": [Cost(1.0, 50, 1_000, requests=4), Cost(3.0, 60, 1_000, requests=4)],
        "other": [Cost(5.0, 70, 1_000, requests=6)],
        "floor, mixed rows": [Cost(4.0, 50, 1_000, requests=4)],
        "other, mixed rows": [Cost(6.0, 70, 1_000, requests=6)],
    }
    lines = table(found, 1_000).splitlines()
    assert lines[2] == "| floor | 2000.0 (1000.0 to 3000.0) | 1.00 | 60 | 4,000 |"
    assert lines[3] == "| other | 5000.0 (5000.0 to 5000.0) | 2.50 | 70 | 6,000 |"
    assert lines[5] == "| other, mixed rows | 6000.0 (6000.0 to 6000.0) | 1.50 | 70 | 6,000 |"
    del found["floor, mixed rows"]
    assert "| - |" in table(found, 1_000).splitlines()[4], "another floor is not its own"


def test_a_loader_that_leaves_rows_out_has_no_figure() -> None:
    with pytest.raises(RuntimeError, match="other loaded"):
        table({"other": [Cost(5.0, 70, 999)]}, 1_000)
