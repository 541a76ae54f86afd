"""Watchdog: finish runs whose execution ended without doing so, and count partitions that stand still."""

from massive_upload import container
from massive_upload.contracts import WatchdogInput, WatchdogReport
from massive_upload.domain.progress import Run
from massive_upload.lambda_handler import lambda_handler
from massive_upload.settings import WatchdogSettings
from massive_upload.usecases.watch_runs import finish_request, watch_runs


@lambda_handler(WatchdogInput)
def handler(task: WatchdogInput) -> WatchdogReport:
    """Look after every open run; the event of its schedule says nothing that matters."""
    function_name = WatchdogSettings.from_environment().finish_run_function

    def finish(run: Run, ended: str) -> None:
        request = finish_request(run, ended).model_dump_json().encode()
        container.invoke_later(function_name, request)

    return watch_runs(container.store(), container.executions(), container.clock(), finish)
