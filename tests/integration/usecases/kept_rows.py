"""What a finished run tells and keeps: its account, its receipt, and the rows that it rejected."""

import csv
import io
import json
from dataclasses import fields
from typing import Any

from massive_upload.contracts import Verdict
from massive_upload.domain.account import Account
from massive_upload.domain.file_keys import receipt_key
from tests.integration.usecases.world import RUN, World


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def account_of(verdict: Verdict) -> Account:
    return Account(**{field.name: getattr(verdict, field.name) for field in fields(Account)})


def receipt(world: World, run_id: str = RUN) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.files.read(receipt_key(run_id)))
    return document


def recorded_account(world: World, run_id: str = RUN) -> Account:
    """The account of the receipt."""
    return Account(**receipt(world, run_id)["account"])


def rejected_rows(world: World, run_id: str = RUN) -> list[dict[str, str]]:
    """Every row of the rejected files that the receipt names."""
    return [row for key in receipt(world, run_id)["rejected_files"] for row in rows_of(world.files.read(key))]
