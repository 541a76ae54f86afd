"""A simulated Salesforce org: Data Cloud to read from and Core to write to, in one HTTP server."""

from local.org.clock import ManualClock, OrgClock, ScaledClock
from local.org.faults import Faults, FaultsFileError
from local.org.process import OrgProcess
from local.org.server import OrgServer
from local.org.settings import OrgSettings
from local.org.source_file import SourceFileError
from local.org.sources import Source, file_source, generated_opportunities

__all__ = [
    "Faults",
    "FaultsFileError",
    "ManualClock",
    "OrgClock",
    "OrgProcess",
    "OrgServer",
    "OrgSettings",
    "ScaledClock",
    "Source",
    "SourceFileError",
    "file_source",
    "generated_opportunities",
]
