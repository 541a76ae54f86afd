"""Whole loads through the use cases: what is in the target, and what the account says."""

import json

from local.org import generated_opportunities
from local.org.opportunities import REJECTED_SQL
from massive_upload.domain.account import Account
from massive_upload.domain.file_keys import receipt_key
from tests.integration.usecases.world import RUN, open_world, paced


def test_every_row_of_the_source_is_in_the_target_or_in_a_reject_file():
    source = generated_opportunities(200, rejected_share=0.05, null_keys=3)
    with open_world(source=source, load=paced(lanes=3, batch_rows=30)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.status == "Completed"
        refused = world.keys_of(REJECTED_SQL)
        assert refused
        assert world.loaded_keys == world.keys_of() - refused
        assert (verdict.source_rows, verdict.skipped_null_key) == (203, 3)
        assert (verdict.succeeded, verdict.rejected) == (200 - len(refused), len(refused))
        receipt = json.loads(world.files.read(receipt_key(RUN)))
        assert Account(**receipt["account"]).balances
