"""`tickplant migrate`: applies schema migrations, policies and groups to the database."""

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Final

from tickplant import interrupts

if TYPE_CHECKING:
    from tickplant.settings import Settings

_log = logging.getLogger(__name__)

_MOST_WAIT_S: Final = 86_400

HELP: Final = "bring the database to this version's schema"

DESCRIPTION: Final = """\
Apply pending migrations, each once and in order, then update views, policies (retention, TimescaleDB
columnstore) and groups to match the settings. It is safe to run from several processes at once, and refused
if the database is newer than this version. `tickplant up` runs it automatically.

Without an address it takes the embedded database of the folder whose servers are running, or ran last, and
creates one only if there is none.

The first run fixes the number of partitions and whether TimescaleDB is used. Everything else can be changed
later: change the setting and run it again.

Run it as the user that will own the tables. If that user may create roles, it creates the groups
tickplant_writer, for workers and the API, and tickplant_reader, for dashboards; and the logins
tickplant_service and tickplant_grafana, if the settings contain their passwords.

With --wait it waits for a server that can't be reached yet. With --check it changes nothing, and tells
whether the database has this version's schema, by its exit code too; both together wait until another
process has migrated it, as processes of a new version do before they start.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server), TICKPLANT_PARTITIONS, TICKPLANT_TIMESCALEDB,
  TICKPLANT_KEEP_TRADES_DAYS, TICKPLANT_KEEP_CANDLES_DAYS, TICKPLANT_KEEP_RECORDS_DAYS,
  TICKPLANT_ARCHIVE_URL, TICKPLANT_DATABASE_SERVICE_PASSWORD[_FILE],
  TICKPLANT_DATABASE_GRAFANA_PASSWORD[_FILE]

examples:
  TICKPLANT_DATABASE_URL=postgresql://user:password@host/tickplant tickplant migrate
  TICKPLANT_KEEP_TRADES_DAYS=7 tickplant migrate
  tickplant migrate --wait 300            wait up to five minutes for the server, and migrate
  tickplant migrate --check --wait 300    wait up to five minutes until the database is migrated
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for the server, and with --check for the migration (0)",
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail unless the database is up to date"
    )


def _seconds(text: str) -> float:
    """Parse a wait in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_WAIT_S:
        raise ArgumentTypeError(f"must be a number from 0 to {_MOST_WAIT_S:,} seconds")
    return seconds


def run(args: Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        FatalError: the database can't be reached or migrated; with --check, it is not up to date.
    """
    from tickplant.logs import set_up_logs
    from tickplant.settings_reader import read_settings

    settings = read_settings()
    set_up_logs(settings.log_level, settings.log_format, settings.secrets)
    for line in interrupts.run(_migrate(settings, wait_s=args.wait, check=args.check)) or [
        "the database is up to date"
    ]:
        if settings.log_format == "json":
            _log.info(line)
        else:
            print(line)
    return 0


async def migrate_database(url: str, settings: "Settings") -> list[str]:
    """Bring a database in line with this version and the settings; see `db.migrate.migrate`."""
    from db.grants import Passwords
    from db.migrate import migrate
    from db.policies import Retention

    return await migrate(
        url,
        partitions=settings.partitions,
        extension=settings.timescaledb,
        retention=Retention(
            trades_days=settings.keep_trades_days,
            candles_days=settings.keep_candles_days,
            records_days=settings.keep_records_days,
            awaits_archive=settings.archive_url is not None,
        ),
        passwords=Passwords(
            service=settings.database_service_password, grafana=settings.database_grafana_password
        ),
    )


async def _migrate(settings: "Settings", *, wait_s: float, check: bool) -> list[str]:
    from db.availability import wait_for_schema, wait_for_server
    from tickplant.local.addresses import open_database_server, print_data_folder

    if settings.log_format != "json":
        print_data_folder(settings)
    async with open_database_server(settings, create=not check) as url:
        if check:
            await wait_for_schema(url, wait_s)
            return []
        await wait_for_server(url, wait_s)
        return await migrate_database(url, settings)
