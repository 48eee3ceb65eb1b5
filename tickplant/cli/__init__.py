"""The command line: the one place that composes everything, and reads the settings.

A command's module is imported only when that command is run. It has `HELP` (one line, the same as
here), `DESCRIPTION` and `EXAMPLES` for its own help, `add_arguments(parser)`, and `run(args)`, which returns
the exit code.
"""

import logging
import os
import re
import sys
from argparse import Action, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from shutil import get_terminal_size
from textwrap import TextWrapper, wrap
from typing import Final, NoReturn

from tickplant.errors import MixedSourcesError, SettingsError, UsageError

COMMANDS: Final[dict[str, str]] = {
    "up": "run everything: servers, ingest, workers and API, in one terminal",
    "ingest": "run one ingest process: from the venues' sockets into Redis",
    "worker": "run one worker process: from Redis into the database",
    "mirror": "run one mirror process: from Redis to Kafka",
    "api": "run one API process: REST and websockets",
    "grpc": "run one gRPC process: live and stored market data, and alerts",
    "record": "record venues' live frames to capture files, which up --replay plays",
    "sandbox": "run a local venue that plays captures or generated trades",
    "migrate": "bring the database to this version's schema",
    "backfill": "fetch a symbol's history from its venue",
    "import": "store past trades from Binance's public archive, from files, or from an archive",
    "verify": "compare candles with the venue's own, and repair what differs",
    "audit": "recompute candles from the stored trades, or compare them with a venue's own",
    "backtest": "run strategies over stored trades: their signals, fills and profit",
    "archive": "keep each day as Parquet files in a folder or an object store, and check them",
    "export": "write stored trades or candles as CSV, JSON lines, Parquet or Arrow",
    "db": "show the status of the database, print its address, or run psql on it",
    "partitions": "show which server of Redis has which partition, or move one to another",
    "keys": "make, list and revoke the keys of the API",
    "symbols": "list a venue's symbols",
    "doctor": "check settings and servers, and show how to fix what is wrong",
}
"""Every command and what it does."""

_SERVICES: Final = ("up", "ingest", "worker", "mirror", "api", "grpc", "record", "sandbox", "migrate")
"""Commands whose lines are logs; those of the others are for the person who runs them."""

_PROCESSES: Final = frozenset(_SERVICES) - {"up", "migrate"}
"""Services of one process, which ends as soon as the service has stopped."""

_WITHOUT_COMMAND: Final[tuple[list[str], ...]] = ([], ["db"], ["keys"], ["partitions"])
"""What is answered with help: a command must follow."""

_DATA_HELP: Final = (
    "the folder of the embedded servers' data, as TICKPLANT_DATA; without it, commands other than up look at"
    " ./.demo, the default folder and its replay, and take the one whose servers are running, or else the one"
    " that up used last"
)

_DESCRIPTION: Final = "A self-hosted market-data plant: venue trades in, exact candles out, live and stored."

_EPILOG: Final = """\
examples:
  tickplant up                            live trades of the default symbols
  tickplant up --demo                     the same, or generated trades where the venue can't be reached
  tickplant up --replay day.gz --once     recorded trades, as fast as possible, and a summary
  tickplant export candles --symbol binance:BTCUSDT --interval 1m

`tickplant COMMAND --help` shows details. Settings are environment variables that start with TICKPLANT_, or
lines of a file .env in the working directory; .env.example lists all of them.

exit codes: 0 success, 1 failure, 2 wrong settings or arguments, 130 ended by Ctrl-C (up and the services stop
in order then, with 0)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: None takes the process's own.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            code = _run(words)
        finally:
            sys.stdout.flush()  # here, where it is caught, not at exit
    except OSError as error:  # of writing the output: all others have been reported
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        if isinstance(error, BrokenPipeError):  # the reader of the output, such as `head`, has ended
            return 0
        sys.stderr.write(f"tickplant: can't write to the standard output: {error.strerror}\n")
        return 1
    if arguments is None and words[0] in _PROCESSES:
        _end_process(code)
    return code


def _end_process(code: int) -> NoReturn:
    """End the process without waiting for its threads.

    Python would wait for one that resolves a host name, which can take a name server's timeouts, and for any
    that a user's strategy has started.
    """
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _run(words: list[str]) -> int:
    parser = _parser(words)
    if words in _WITHOUT_COMMAND:
        with redirect_stdout(sys.stderr), suppress(SystemExit):
            parser.parse_args([*words, "--help"])
        parser.exit(2)
    args, rest = parser.parse_known_args(words)
    args.rest = rest
    if args.rest and not getattr(args, "takes_rest", False):
        apart = any(word.startswith("-") for word in words) and not args.rest[0].startswith("-")
        hint = "; symbols stand together, before or after the options" if apart else ""
        getattr(args, "parser", parser).error(f"unrecognized arguments: {' '.join(args.rest)}{hint}")
    if getattr(args, "data", None):
        os.environ["TICKPLANT_DATA"] = args.data
    if args.command in _SERVICES and os.environ.get("TICKPLANT_LOG_FORMAT", "").strip() == "json":
        from tickplant.logs import set_up_logs

        set_up_logs("info", "json")  # until the settings are read, which may be wrong
    try:
        if args.command not in ("record", "sandbox", "doctor"):
            from tickplant.cli.ignored_folder import refuse_ignored_folder

            refuse_ignored_folder(args)
        return int(import_module(f"tickplant.cli.{args.command}").run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        from tickplant.cli.external_errors import explain
        from tickplant.logs import report_fatal

        explained = explain(error)
        if explained is None:
            raise
        logging.getLogger(__name__).debug("the error in full", exc_info=error)
        report_fatal(str(explained))
        # The supervisor doesn't restart the service then: that would not help.
        mixed = isinstance(explained, MixedSourcesError) and args.command in ("ingest", "worker")
        return 2 if mixed or isinstance(explained, SettingsError | UsageError) else 1


def _parser(words: Sequence[str]) -> ArgumentParser:
    """Build the parser, with the arguments only of the command to run."""
    requested = next((word for word in words if not word.startswith("-")), None)
    parser = ArgumentParser(
        "tickplant",
        description=_wrapped(_DESCRIPTION),
        epilog=_wrapped(_EPILOG),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=RawDescriptionHelpFormatter)
        if name == requested:
            module = import_module(f"tickplant.cli.{name}")
            command.description = _wrapped(getattr(module, "DESCRIPTION", module.HELP))
            command.epilog = _wrapped(getattr(module, "EXAMPLES", ""))
            module.add_arguments(command)
            command.set_defaults(parser=command)
        if name not in ("record", "sandbox"):
            command.add_argument("--data", metavar="DIR", help=_DATA_HELP)
    return parser


def _wrapped(text: str) -> str:
    """Return a text that fits the terminal: paragraphs, and examples and other indented lines one by one."""
    width = get_terminal_size().columns - 2
    wrapper = TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    paragraphs = []
    for paragraph in text.strip("\n").split("\n\n"):
        settings = paragraph.startswith("settings:")
        wrapper.subsequent_indent = "  " if settings else ""
        lines = paragraph.splitlines()
        if not settings and any(line.startswith(" ") for line in lines):
            paragraphs.append("\n".join(_wrapped_line(line, width) for line in lines))
        else:
            paragraphs.append(wrapper.fill(" ".join(paragraph.split())))
    return "\n\n".join(paragraphs)


def _wrapped_line(line: str, width: int) -> str:
    """Return an indented line that fits: a word and its explanation in two columns, or a shell command."""
    if len(line) <= width:
        return line
    if columns := _TWO_COLUMNS.fullmatch(line):
        start = columns.start(2)
        explanation = wrap(columns[2], max(width - start, 20), break_on_hyphens=False)
        return ("\n" + " " * start).join([line[:start] + explanation[0], *explanation[1:]])
    lines = [line[: len(line) - len(line.lstrip())]]
    for word in _SHELL_WORDS.findall(line):
        if len(lines[-1]) + len(word) > width - 3 and lines[-1].strip():
            lines[-1] += "\\"
            lines.append("      ")
        lines[-1] += f"{word} "
    return "\n".join(lines).rstrip()


_TWO_COLUMNS: Final = re.compile(r"( *\S+(?: \S+)*) {2,}(\S.*)")
_SHELL_WORDS: Final = re.compile(r"(?:--[\w-]+ (?!-))?(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")


class _Version(Action):
    """Looks the version up only when asked: reading the metadata takes longer than all else."""

    def __call__(self, parser: ArgumentParser, *ignored: object) -> None:
        from importlib.metadata import version

        print(f"tickplant {version('tickplant')}")
        parser.exit()
