"""What an execution's input may say."""

import pytest

from massive_upload.contracts import StartInput
from massive_upload.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "value", "mode"),
    [
        ("partitions", [0], "resume"),
        ("of", "run-1", "retry_failed"),
        ("only", "STRING_TOO_LONG", "retry_failed"),
    ],
)
def test_what_one_mode_alone_has_is_refused_with_every_other(name, value, mode):
    StartInput.model_validate({"mode": mode, name: value})
    for other in {"full", "incremental", "sample", "plan", "resume", "retry_failed"} - {mode}:
        with pytest.raises(InvalidInput, match=f'{name} can be given with mode {mode} only. Add "mode": "{mode}"'):
            StartInput.model_validate({"mode": other, name: value})
