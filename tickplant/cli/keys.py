"""`tickplant keys`: makes, lists and revokes the keys of the API."""

import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from typing import Final

from tickplant import interrupts
from tickplant.api_keys import SCOPES, Scope, make_key
from tickplant.cli.database_arguments import open_database
from tickplant.cli.tables import print_json, print_table
from tickplant.errors import FatalError
from tickplant.settings_reader import read_settings
from tickplant.times import format_time

HELP: Final = "make, list and revoke the keys of the API"

DESCRIPTION: Final = """\
`keys create NAME` makes a key and prints it, once: only a hash of it is stored. NAME says what it is for. Its
scopes are read, unless --scope names others:

  read    prices, trades, candles, signals, the paper bot's account, health and metrics
  alerts  the same, and the key's own alerts: to create, change, list and delete
  admin   everything: also the alerts of other keys, and the paper bot's switch

`keys list` shows the keys, and `keys revoke KEY`, by name or identifier, makes one invalid: within some
seconds every API process refuses it, and closes the websockets that use it. Its alerts remain, and belong to
nobody but keys with the scope admin.

Clients send a key in the header Authorization: Bearer KEY, over websockets also as the subprotocol
tickplant.key.KEY or as their first message. In an address it is refused.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server)

examples:
  tickplant keys create grafana
  tickplant keys create phone --scope alerts
  tickplant keys list
  tickplant keys revoke phone
  docker compose exec api tickplant keys create me --scope admin
"""

_MAX_NAME: Final = 64


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    create = what.add_parser("create", help="make a key and print it")
    create.add_argument("name", metavar="NAME", type=_name, help="what it is for")
    create.add_argument(
        "--scope", choices=SCOPES, action="append", help="what it allows (read); may be given several times"
    )
    list_ = what.add_parser("list", help="show all keys, also revoked ones")
    list_.add_argument("--json", action="store_true", help="print them as one JSON document")
    revoke = what.add_parser("revoke", help="make a key invalid")
    revoke.add_argument("key", metavar="KEY", help="its name or identifier")
    for command in (create, list_, revoke):
        command.add_argument("--data", metavar="DIR", default=SUPPRESS, help=SUPPRESS)


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    if args.what == "create":
        interrupts.run(_create(args.name, args.scope or ["read"]))
    elif args.what == "list":
        interrupts.run(_list(as_json=args.json))
    else:
        interrupts.run(_revoke(args.key))
    return 0


def _name(text: str) -> str:
    if not (text.isprintable() and text.strip() == text and 0 < len(text) <= _MAX_NAME):
        raise ArgumentTypeError(f"must be 1 to {_MAX_NAME} printable characters")
    return text


async def _create(name: str, scopes: list[Scope]) -> None:
    from db.api_keys import create_api_key

    key = make_key()
    ordered = [scope for scope in SCOPES if scope in scopes]
    async with open_database(read_settings(), application="tickplant keys") as connection:
        await create_api_key(connection, key, name, ordered)
    print(
        f"the key {name!r} ({', '.join(ordered)}) works in a few seconds; it is not shown again:",
        file=sys.stderr,
    )
    print(key.text)


async def _list(*, as_json: bool) -> None:
    from db.api_keys import read_api_keys

    async with open_database(read_settings(), application="tickplant keys") as connection:
        keys = await read_api_keys(connection)
    rows = [
        {
            "key": f"tp_{key.key_id}",
            "name": key.name,
            "scopes": list(key.scopes),
            "created": format_time(key.created_us),
            "revoked": None if key.revoked_us is None else format_time(key.revoked_us),
        }
        for key in keys
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("there are no keys; `tickplant keys create NAME` makes one", file=sys.stderr)
    columns = ("key", "name", "scopes", "created", "revoked")
    print_table("API keys", columns, [[*map(_shown, row.values())] for row in rows])


def _shown(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


async def _revoke(key: str) -> None:
    from db.api_keys import revoke_api_key

    async with open_database(read_settings(), application="tickplant keys") as connection:
        row = await revoke_api_key(connection, key.removeprefix("tp_"))
    if row is None:
        raise FatalError(f"there is no valid key {key!r}: `tickplant keys list` shows all")
    print(f"revoked: {row.name} (tp_{row.key_id})", file=sys.stderr)
