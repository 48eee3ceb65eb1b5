"""Log lines on standard error, in UTC, as text or as JSON objects; one per change of state.

Lines have fields to filter by: `venue`, `symbol`, `partition`, `role`, `connection`, `entry`. `add_fields`
sets those of a task; those of one record are its `extra`. They are members of the JSON object; in text, the
message contains them.
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

LogFormat = Literal["text", "json"]

_BEGINNING: Final = '{"time":"'
"""The start of every log line in JSON."""
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Attributes of records that are not fields."""
_HIDDEN: Final = "***"
_PASSWORD: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:]*):[^\s/@]+@")
"""In an address."""
_SHORTEST: Final = 6
"""Shorter secrets are hidden only in addresses: they could be any word."""

_task_fields: ContextVar[dict[str, object]] = ContextVar("task_fields")
_log = logging.getLogger(__name__)


def add_fields(**fields: object) -> None:
    """Add fields to all log records of this task, and of tasks that it starts from now on."""
    _task_fields.set(_task_fields.get({}) | fields)


class Secrets:
    """Hides the passwords in addresses, and texts that are known to be secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        texts = {form for secret in secrets for form in (secret, unquote(secret)) if len(form) >= _SHORTEST}
        longest_first = sorted(texts, key=len, reverse=True)
        either = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._known = re.compile(rf"(?<!\w)(?:{either})(?!\w)")

    def hide(self, text: str) -> str:
        """Return the text without them."""
        return self._known.sub(_HIDDEN, _PASSWORD.sub(rf"\1:{_HIDDEN}@", text))


_NEXT_ADDRESS: Final = re.compile(r",(?=[a-z+]+://)")
"""Between the addresses of several servers of Redis."""


def passwords_in(addresses: Iterable[str | None]) -> list[str]:
    """Return the passwords in the addresses."""
    several = [part for address in addresses if address for part in _NEXT_ADDRESS.split(address)]
    return [password for address in several if (password := _password(address))]


def set_up_logs(level: str, log_format: LogFormat = "text", secrets: Iterable[str] = ()) -> None:
    """Write log records of this level and above, and warnings, to standard error.

    In JSON, uncaught errors are log lines, too.

    Args:
        level: debug, info, warning or error.
        log_format: of the lines.
        secrets: texts to hide in them.
    """
    handler = logging.StreamHandler()
    kind = _JsonFormatter if log_format == "json" else _TextFormatter
    handler.setFormatter(kind(Secrets(secrets)))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for noisy in ("websockets", "uvicorn.access", "httpx", "httpcore"):  # a line a request
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if log_format == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
        sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def report_fatal(error: str) -> None:
    """Write to standard error why the process ends, as a log line if logs are JSON."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    if any(isinstance(formatter, _JsonFormatter) for formatter in formatters):
        _log.critical(error)
    else:
        print(f"tickplant: {Secrets().hide(error)}", file=sys.stderr)


def is_json_line(line: str) -> bool:
    """Return whether a line is a log line in JSON."""
    return line.startswith(_BEGINNING)


def json_line(
    message: str,
    *,
    level: str = "info",
    logger: str,
    when_s: float | None = None,
    fields: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return a log line in JSON.

    Args:
        message: what has happened.
        level: its severity.
        logger: the name of its logger.
        when_s: seconds since 1970; None takes the clock's.
        fields: to filter by, and `exception`.
    """
    utc = _utc(time.time() if when_s is None else when_s)
    members: dict[str, object] = {"time": utc, "level": level, "logger": logger, "message": message}
    members |= {name: value for name, value in fields.items() if name not in members}
    return msgspec.json.encode(members, enc_hook=str).decode()


def add_process(line: str, process: str) -> str:
    """Return a process's line as a log line in JSON with the field `process`."""
    if not (is_json_line(line) and line.endswith("}")):
        return json_line(line, logger=__name__, fields={"process": process})
    member = msgspec.json.encode({"process": process}).decode()
    return f"{line[:-1]},{member[1:]}"


class _TextFormatter(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._secrets = secrets

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return _utc(record.created)

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.hide(super().format(record))


class _JsonFormatter(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        fields = {name: self._shown(value) for name, value in (_task_fields.get({}) | extra).items()}
        exception = self._exception(record)
        return json_line(
            self._shown(_message(record)),
            level=record.levelname.lower(),
            logger=record.name,
            when_s=record.created,
            fields=fields | ({"exception": self._shown(exception)} if exception else {}),
        )

    def _exception(self, record: logging.LogRecord) -> str:
        traceback = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        return "\n".join(filter(None, (traceback, record.stack_info)))

    def _shown(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value).encode(errors="backslashreplace").decode()  # JSON has no lone surrogates
        return self._secrets.hide(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a library's wrong format must not cost the line
        return f"{record.msg} {record.args}"


def _utc(when_s: float) -> str:
    milliseconds = int(when_s * 1000)
    whole_s = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole_s}.{milliseconds % 1000:03d}Z"


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    error = error or kind()
    _log.critical("unexpected error: %s", error or kind.__name__, exc_info=(kind, error, traceback))
