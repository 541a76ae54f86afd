"""The three result files of a job."""

import csv
import io
import random
from collections.abc import Iterable, Iterator, Sequence

from local.org.errors import RowError
from local.org.records import Saved
from local.org.upload import DELIMITERS, LINE_ENDINGS, UploadError, read_rows

Outcome = Saved | RowError | None
"""What became of a row; None while, or because, it was not processed."""


class ResultFiles:
    """Writes results with the job's own delimiter and line ending.

    The rows come in an order of their own (Bulk API 2.0 guide: the order of records in results is not
    guaranteed), the same at every request.

    Args:
        content: the CSV as it was uploaded; the columns are echoed from it.
        outcomes: one for each row.
        delimiter: the job's columnDelimiter.
        line_ending: the job's lineEnding.
        order_seed: decides the order of the rows.
    """

    def __init__(
        self,
        content: bytes,
        outcomes: Sequence[Outcome],
        *,
        delimiter: str,
        line_ending: str,
        order_seed: str,
    ) -> None:
        self._content = content
        self._outcomes = outcomes
        self._delimiter = DELIMITERS[delimiter]
        self._line_ending = LINE_ENDINGS[line_ending]
        self._order_seed = order_seed

    def successful(self) -> bytes:
        """`sf__Id`, `sf__Created` and the uploaded columns of the rows that were written."""
        saved = (
            [outcome.record_id, "true" if outcome.created else "false", *row]
            for row, outcome in self._shuffled()
            if isinstance(outcome, Saved)
        )
        return self._write(["sf__Id", "sf__Created"], saved)

    def failed(self) -> bytes:
        """`sf__Id` (blank: no record), `sf__Error` and the uploaded columns of the rows that were refused."""
        refused = (["", outcome.text, *row] for row, outcome in self._shuffled() if isinstance(outcome, RowError))
        return self._write(["sf__Id", "sf__Error"], refused)

    def unprocessed(self) -> bytes:
        """The uploaded columns of the rows that the job never came to."""
        return self._write([], (row for row, outcome in self._shuffled() if outcome is None))

    def _shuffled(self) -> Iterator[tuple[list[str], Outcome]]:
        rows = self._read(self._content)[1:]
        outcomes = self._outcomes or [None] * len(rows)
        order = list(range(len(rows)))
        random.Random(self._order_seed).shuffle(order)
        return ((rows[at], outcomes[at]) for at in order)

    def _read(self, content: bytes) -> list[list[str]]:
        """The records; none of a content that is no CSV, as such a job failed before it knew any row."""
        try:
            return read_rows(content, self._delimiter)
        except UploadError:
            return []

    def _write(self, first_columns: list[str], rows: Iterable[Sequence[str]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator=self._line_ending, quoting=csv.QUOTE_ALL)
        header = self._read(self._content.partition(b"\n")[0])
        writer.writerow(first_columns + (header[0] if header else []))
        writer.writerows(rows)
        return text.getvalue().encode()
