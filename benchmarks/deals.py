"""What the loaders of the data path's benchmark load: rows of 12 columns and about 110 bytes."""

from __future__ import annotations

from dataclasses import dataclass

JOB_ROWS = 10_000
LARGE_JOB_ROWS = 50_000
OBJECT = "Deal__c"
SOURCE = "Deal__dlm"
EXTERNAL_ID = "External_ID__c"
TIME_SCALE = 200
COLUMNS = {
    "deal_no": "'D-' || lpad(CAST(n AS VARCHAR), 9, '0')",
    "account_no": "'A-' || lpad(CAST(n // 20 AS VARCHAR), 7, '0')",
    "title": "'Deal ' || CAST(n AS VARCHAR)",
    "stage": "CASE n % 3 WHEN 0 THEN 'Open' WHEN 1 THEN 'Won' ELSE 'Lost' END",
    "amount": "CAST((n % 100000) / 4 AS DECIMAL(12,2))",
    "units": "CAST(n % 90 AS INTEGER)",
    "closed_on": "CAST(DATE '2024-01-01' + CAST(n % 700 AS INTEGER) AS VARCHAR)",
    "city": "CASE n % 4 WHEN 0 THEN 'Lisboa' WHEN 1 THEN 'Kraków' WHEN 2 THEN 'Oslo' ELSE 'Graz' END",
    "is_new": "CASE WHEN n % 2 = 0 THEN 'true' ELSE 'false' END",
    "note": "CASE WHEN n % 10 = 0 THEN 'said \"yes\", twice' ELSE 'none' END",
    "owner": "'user' || CAST(n % 400 AS VARCHAR)",
    "changed_at": "CAST(TIMESTAMP '2024-01-01' + to_seconds(n) AS VARCHAR)",
}
MIXED_COLUMNS = COLUMNS | {
    "title": f"CASE WHEN n % 10 <> 3 THEN {COLUMNS['title']} END",
    "closed_on": "DATE '2024-01-01' + CAST(n % 700 AS INTEGER)",
    "city": f"CASE WHEN n % 4 <> 2 THEN {COLUMNS['city']} END",
    "is_new": "n % 2 = 0",
    "note": f"CASE WHEN n % 2 = 0 THEN {COLUMNS['note']} END",
    "changed_at": "TIMESTAMP '2024-01-01' + to_seconds(n)",
}
"""The same rows with NULLs, and with values that are no text."""
MIXED_TYPES = {
    "amount": "number",
    "units": "number",
    "closed_on": "date",
    "is_new": "boolean",
    "changed_at": "datetime",
}
TARGETS = {name: EXTERNAL_ID if name == "deal_no" else name for name in COLUMNS}


def _query(**otherwise: str) -> str:
    """All rows as text, for loaders that convert nothing; some columns otherwise."""
    selected = {name: f"CAST({name} AS VARCHAR)" for name in COLUMNS} | otherwise
    columns = ", ".join(f"{sql} AS {name}" for name, sql in selected.items())
    return f'SELECT {columns} FROM "{SOURCE}" ORDER BY deal_no'  # noqa: S608 - our own names


SQL = _query()
MIXED_SQL = _query(changed_at="replace(CAST(changed_at AS VARCHAR), ' ', 'T') || '.000Z'")
"""The server writes times as the Bulk API takes them."""


@dataclass(frozen=True)
class Login:
    """Where the org is, and who a loader is there."""

    url: str
    client_id: str
    client_secret: str
