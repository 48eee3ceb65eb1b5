"""Refuses a data folder that a command would not use."""

from argparse import Namespace
from typing import Final

from tickplant.errors import SettingsError
from tickplant.settings import variable
from tickplant.settings_reader import read_settings

_URLS: Final = ("redis_url", "database_url")
_USES: Final = {
    "ingest": ("redis_url",),
    **dict.fromkeys(("migrate", "export", "audit", "backtest", "db"), ("database_url",)),
}
"""The servers of commands that use only one of them."""


def refuse_ignored_folder(args: Namespace) -> None:
    """Refuse a folder for embedded servers where the settings name other servers: one of them is a mistake.

    `--data` concerns the servers that the command uses, TICKPLANT_DATA both: if the settings have the address
    of only one, it is the folder of the other.

    Raises:
        SettingsError: the folder would be ignored, or settings are wrong.
    """
    settings = read_settings()
    if settings.data is None or (args.command == "up" and args.replay and args.into is None):
        return
    uses = _USES.get(args.command, _URLS) if args.data else _URLS
    if any(getattr(settings, name) is None for name in uses):
        return
    what = "--data" if args.data else variable("data")
    urls = " and ".join(map(variable, uses))
    raise SettingsError(
        [f"{what}: names a folder for embedded servers, but {urls} would be used instead: remove one of them"]
    )
