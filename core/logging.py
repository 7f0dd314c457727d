"""Logs: one JSON object a line on standard error, for machines; plain lines on a terminal, for people."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import msgspec

from core.clock import format_ms

# Libraries that tell of every ordinary step; Kafka's client tells of every attempt to connect in four lines, and what
# comes of it reaches us as an error.
CHATTY = {"alembic": "WARNING", "kafka": "WARNING", "kafka.net": "CRITICAL", "urllib3": "WARNING"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Level, time, logger, message, and whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": format_ms(round(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def set_up_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream` (standard error); called once, by a process's entry point."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(plain if out.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in CHATTY.items():
        logging.getLogger(name).setLevel(least)
