"""Halving: how a row that makes its whole job fail is found, while the rows beside it succeed.

The rows of a job that failed as a whole are cut in two, and each half gets a job of its own. Halves wait in the order
in which they were made, so that large ones go first: where several rows are at fault, most of the others are through
before the last cut. One row among n is found after log2(n) cuts, rounded up, which make two jobs each.
"""


def most_halvings(rows: int) -> int:
    """How often rows of a batch may be cut in two: enough to find one of so many rows, at most 2 log2(n) jobs."""
    return (rows - 1).bit_length()
