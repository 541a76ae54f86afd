"""Logging: one JSON line an event, with the ids of what it is about and a marker that people can search for."""

from __future__ import annotations

from enum import StrEnum, unique

from aws_lambda_powertools import Logger

logger = Logger(service="massive-upload", log_uncaught_exceptions=False)


@unique
class Marker(StrEnum):
    """The guide's markers ("Debug Log Analysis"), as the field ``marker`` of a line."""

    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    RETRY = "RETRY"
    WAITING = "WAITING"
    WARNING = "WARNING"
    UPLOAD = "UPLOAD"
    STOP = "STOP"
