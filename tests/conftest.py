"""What all tests have in common."""

import os


def pytest_xdist_auto_num_workers() -> int | None:
    """Two workers for a processor: tests against the embedded AWS spend half of their time waiting."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * (os.cpu_count() or 1)
