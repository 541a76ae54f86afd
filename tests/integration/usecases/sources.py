"""Sources with odd values, made of the generated opportunities."""

from dataclasses import replace

from local.org import Source, generated_opportunities
from local.org.sources import Table


def opportunities_with(column: str, sql: str, rows: int = 30) -> Source:
    """Opportunities none of which is refused, with another value in a column; ``n`` is the row's number."""
    return with_column(generated_opportunities(rows, rejected_share=0), column, sql)


def with_column(source: Source, column: str, sql: str) -> Source:
    """The opportunities of a source with another value in a column; ``n`` is the row's number, NULL without a key."""
    accounts, opportunities = source.tables
    numbered = f'SELECT *, CAST(right("ExternalId__c", 7) AS BIGINT) AS n FROM ({opportunities.sql})'
    changed = f'SELECT * EXCLUDE (n) REPLACE ({sql} AS "{column}") FROM ({numbered})'
    return replace(source, tables=(accounts, Table(opportunities.name, changed)))
