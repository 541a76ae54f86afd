"""Generated opportunities: every kind of value that is easy to lose or to mangle on the way."""

from dataclasses import dataclass

from local.org.schema import Field, FieldType, ObjectSchema

STAGES = (
    "Prospecting",
    "Qualification",
    "Proposal/Price Quote",
    "Negotiation/Review",
    "Closed Won",
    "Closed Lost",
)

ACCOUNT = ObjectSchema(
    name="Account",
    key_prefix="001",
    fields=(
        Field(name="External_ID__c", length=255, external_id=True),
        Field(name="Name", label="Account Name", length=255),
    ),
)

OPPORTUNITY = ObjectSchema(
    name="Opportunity",
    key_prefix="006",
    fields=(
        Field(name="External_ID__c", length=255, external_id=True),
        Field(name="Name", label="Opportunity Name", length=120, required=True),
        Field(
            name="AccountId",
            label="Account ID",
            type=FieldType.REFERENCE,
            length=18,
            relationship_name="Account",
            reference_to="Account",
        ),
        Field(name="Amount", type=FieldType.CURRENCY, precision=18, scale=2),
        Field(name="Probability", label="Probability (%)", type=FieldType.PERCENT, precision=8, scale=5),
        Field(
            name="StageName",
            label="Stage",
            type=FieldType.PICKLIST,
            length=255,
            required=True,
            picklist_values=STAGES,
        ),
        Field(name="CloseDate", label="Close Date", type=FieldType.DATE, required=True),
        Field(name="IsPrivate", label="Private", type=FieldType.BOOLEAN),
        Field(name="Description", label="Description", type=FieldType.TEXTAREA, length=32_000),
        Field(name="Source_Modified__c", label="Modified in the source", type=FieldType.DATETIME),
    ),
)

_UNKNOWN_STAGE = "Lost in space"

REJECTED_SQL = (
    f'("StageName__c" = \'{_UNKNOWN_STAGE}\' OR length("Name__c") > 120 '
    "OR coalesce(\"AccountKey__c\", '') LIKE 'NO-SUCH-%')"
)
"""True for the rows of `Opportunity__dlm` that the target refuses when all columns are mapped."""


@dataclass(frozen=True, kw_only=True)
class OpportunityOptions:
    """How many rows of which kind."""

    rows: int
    seed: int
    accounts: int
    rejected_share: float
    null_keys: int
    duplicate_keys: int
    case_collisions: int


def accounts_sql(options: OpportunityOptions) -> str:
    """The SELECT of the parents."""
    return f"""
        SELECT format('ACC-{{:07d}}', i) AS "ExternalId__c", 'Account ' || i AS "Name__c"
        FROM range(1, {options.accounts} + 1) AS numbers(i)
    """


def opportunities_sql(options: OpportunityOptions) -> str:
    """The SELECT of the rows; all of it follows from the row's number and the seed.

    Parents follow Zipf's law roughly: their number is spread evenly on a logarithmic scale.
    """
    extra = options.null_keys + options.duplicate_keys + options.case_collisions
    first_duplicate = options.rows + options.null_keys
    first_collision = first_duplicate + options.duplicate_keys
    stages = ", ".join(f"'{stage}'" for stage in STAGES)
    return f"""
        WITH numbered AS (
            SELECT
                i,
                hash(i, {options.seed}, 'parent') % 1000000 / 1e6 AS parent_draw,
                hash(i, {options.seed}, 'reject') % 1000000 / 1e6 < {options.rejected_share}
                    AND i <= {options.rows} AS rejected,
                CAST(hash(i, {options.seed}, 'value') % 1000000000 AS BIGINT) AS draw
            FROM range(1, {options.rows + extra} + 1) AS numbers(i)
        )
        SELECT
            CASE
                WHEN i <= {options.rows} THEN format('OPP-{{:07d}}', i)
                WHEN i <= {first_duplicate} THEN NULL
                WHEN i <= {first_collision} THEN format('OPP-{{:07d}}', i - {first_duplicate})
                ELSE format('opp-{{:07d}}', {options.rows} + 1 - (i - {first_collision}))
            END AS "ExternalId__c",
            CASE
                WHEN rejected AND i % 3 = 0 THEN 'Opportunity ' || i || repeat(' and more', 15)
                WHEN i % 10 = 1 THEN 'Żółta "Łódź", oferta ' || i
                WHEN i % 10 = 2 THEN 'Line one' || chr(10) || 'line two of ' || i
                WHEN i % 10 = 3 THEN '株式会社 ' || i || ' 🚀'
                ELSE 'Opportunity ' || i
            END AS "Name__c",
            CASE
                WHEN rejected AND i % 3 = 1 THEN 'NO-SUCH-' || i
                WHEN draw % 100 = 7 THEN NULL
                ELSE format('ACC-{{:07d}}', CAST(floor(pow({options.accounts + 1}, parent_draw)) AS BIGINT))
            END AS "AccountKey__c",
            CAST(CASE
                WHEN i % 1000 = 5 THEN 9007199254740993.17 + CAST(i AS DECIMAL(18, 2))
                WHEN i % 100 = 6 THEN NULL
                ELSE CAST(CAST(draw AS DECIMAL(18, 2)) / 100 AS DECIMAL(18, 2))
            END AS DECIMAL(18, 2)) AS "Amount__c",
            CASE WHEN i % 50 = 8 THEN 0.00001 ELSE CAST(draw % 101 AS DOUBLE) END AS "Probability__c",
            CASE
                WHEN rejected AND i % 3 = 2 THEN '{_UNKNOWN_STAGE}'
                ELSE [{stages}][1 + draw % {len(STAGES)}]
            END AS "StageName__c",
            DATE '2024-01-01' + CAST(draw % 1000 AS INTEGER) AS "CloseDate__c",
            draw % 2 = 0 AS "IsPrivate__c",
            CASE
                WHEN i % 7 = 0 THEN NULL
                WHEN i % 7 = 1 THEN '  blanks around ' || i || '  '
                WHEN i % 7 = 2 THEN '👩‍🚀 says "hi", ' || i
                ELSE 'Description ' || i
            END AS "Description__c",
            TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_milliseconds(draw) AS "LastModified__c"
        FROM numbered
    """
