"""What an `OrgProcess` runs: settings come on the standard input, the address goes to the standard output."""

import gc
import os
import pickle
import sys

from local.org.server import OrgServer


def main() -> None:
    """Serve until the parent closes the standard input, or is gone."""
    gc.set_threshold(200_000)  # millions of long-lived rows would be looked through again and again
    stdout = sys.stdout.fileno()
    address = os.fdopen(os.dup(stdout), "w")
    # Nothing else may be written there: DuckDB draws a bar for what takes seconds, and nobody reads beyond the address.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    settings = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent process
    with OrgServer(settings) as server:
        address.write(f"{server.url}\n")
        address.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
