"""A name for what has no types: objects of moto, and clients, which boto3 makes at run time."""

from typing import Any

Untyped = Any
