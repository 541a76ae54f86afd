"""What an `OrgProcess` runs: settings come on the standard input, the address goes to the standard output."""

import gc
import pickle
import sys

from local.org.server import OrgServer


def main() -> None:
    """Serve until the parent closes the standard input, or is gone."""
    gc.set_threshold(200_000)  # millions of long-lived rows would be looked through again and again
    settings = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent process
    with OrgServer(settings) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
