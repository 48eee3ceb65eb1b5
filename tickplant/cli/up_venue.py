"""Where the trades of `tickplant up` come from: the venues themselves, or a sandbox that it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from maintenance.tape import TapeSelection, select_symbols
from tickplant.cli.plan import UpPlan
from tickplant.local.folder import free_port
from tickplant.local.supervisor import Supervisor
from tickplant.market import SymbolId
from tickplant.settings import Settings, variable


class Venue(NamedTuple):
    """Where trades come from."""

    variables: dict[str, str]
    """Settings that point the processes at the sandbox."""
    rest_url: str
    """The sandbox's address; empty for the live venues, which have no use for it."""
    selection: TapeSelection
    """The sandbox's symbols."""


def sandbox_settings(venue: Venue) -> str:
    """Return the settings that point commands at the sandbox's history, of the venues that have symbols."""
    names = dict.fromkeys(variable(f"{symbol.venue}_rest_url") for symbol in venue.selection.stored)
    return " ".join(f"{name}={venue.variables[name]}" for name in names if name in venue.variables)


@asynccontextmanager
async def open_venue(plan: UpPlan, supervisor: Supervisor) -> AsyncIterator[Venue]:
    """Start the sandbox if the plan has one."""
    if plan.sandbox is None:
        yield Venue({}, "", TapeSelection((), (), ()))
        return
    # A port that it keeps when it is restarted, chosen now that the servers have theirs.
    arguments = (*plan.sandbox.arguments, "--port", str(free_port()))
    async with supervisor.announced(replace(plan.sandbox, arguments=arguments)) as line:
        ready = msgspec.json.decode(line)
        venue: dict[str, str] = {}
        for field in Settings.__struct_fields__:  # of all venues, so that no live trades are received
            name, _, what = field.partition("_")
            if what in ("ws_url", "rest_url"):
                venue[variable(field)] = f"{ready[what]}/{name}"
            elif what == "api_key":
                venue |= {variable(field): "sandbox", f"{variable(field)}_FILE": ""}
        selection = select_symbols(map(SymbolId.parse, ready["symbols"]), plan.asked)
        venue["TICKPLANT_SYMBOLS"] = " ".join(map(str, selection.stored))
        yield Venue(venue, ready["rest_url"], selection)
