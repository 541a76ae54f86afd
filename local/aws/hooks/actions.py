"""Which actions a service has.

Defect: moto lists all methods of the class that answers a service's requests for every request, to look up one name.
Here they are listed once for each class.
"""

import functools

from moto.core import responses

from local.aws.hooks.patching import replace


def install() -> None:
    """Remembers the methods of each class."""
    replace(responses, "method_names_from_class", functools.cache)
