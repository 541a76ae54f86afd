"""The environment of programs that are started beside the product."""

from __future__ import annotations

import os


def environment_without_login() -> dict[str, str]:
    """This process's, for programs of others, which have no business with the login to an org."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SALESFORCE_")}
