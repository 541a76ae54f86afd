"""Sources with odd values, made of the generated opportunities."""

from dataclasses import replace

from local.org import Source, generated_opportunities
from local.org.sources import Table
from massive_upload.salesforce.data_cloud import QUERY_PATH
from massive_upload.salesforce.transport import Request, Response, Transport


def opportunities_with(column: str, sql: str, rows: int = 30) -> Source:
    """Opportunities none of which is refused, with another value in a column; ``n`` is the row's number."""
    return with_column(generated_opportunities(rows, rejected_share=0), column, sql)


def with_column(source: Source, column: str, sql: str) -> Source:
    """The opportunities of a source with another value in a column; ``n`` is the row's number, NULL without a key."""
    accounts, opportunities = source.tables
    numbered = f'SELECT *, CAST(right("ExternalId__c", 7) AS BIGINT) AS n FROM ({opportunities.sql})'
    changed = f'SELECT * EXCLUDE (n) REPLACE ({sql} AS "{column}") FROM ({numbered})'
    return replace(source, tables=(accounts, Table(opportunities.name, changed)))


class HalfPairs:
    """A transport to a source whose texts hold half of a surrogate pair where they say so."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        if QUERY_PATH not in request.url:
            return response
        return replace(response, body=response.body.replace(b"[half]", b"\\ud83d"))
