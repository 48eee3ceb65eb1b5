"""The plan of `tickplant up`: its venue, data, processes and ports."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tickplant.arrow import require_pyarrow
from tickplant.cli.grpc_check import require_grpc
from tickplant.cli.kafka import require_kafka
from tickplant.cli.sources import expected_source
from tickplant.cli.terminal import Terminal
from tickplant.cli.venue_reach import unreachable
from tickplant.errors import FatalError, UsageError
from tickplant.local.data_folder import DEMO, data_folder
from tickplant.local.folder import free_port, is_free
from tickplant.local.supervisor import ManagedProcess
from tickplant.market import SymbolId
from tickplant.provenance import DataSource
from tickplant.proxies import Proxies
from tickplant.redis_address import SCHEMES as REDIS_SCHEMES
from tickplant.setting_parsers import DATABASE_SCHEMES
from tickplant.settings import Settings, variable

_SERVERS: Final = ("redis_url", "database_url", "database_read_url", "kafka_bootstrap", "archive_url")
_ARCHIVE: Final = ("--every", "1h")
_INTO: Final = {"redis_url": REDIS_SCHEMES, "database_url": DATABASE_SCHEMES}
_DEFAULTS: Final = Settings()


class UpPlan(Struct, frozen=True, kw_only=True):
    """Everything that is decided before anything starts."""

    settings: Settings
    data: Path
    """The folder of the embedded servers."""
    sandbox: ManagedProcess | None = None
    """None: the live venue."""
    asked: tuple[SymbolId, ...] | None = None
    """The symbols of the sandbox that ingest is to take; None: all."""
    source: DataSource | None = None
    """The source of the trades; None: unknown until a venue at another address, perhaps a sandbox,
    answers."""
    log_level: str
    """Of the processes."""
    grpc: bool = False
    """Whether gRPC is served, too."""

    @property
    def url(self) -> str:
        """Where the page will be."""
        return _shown_url(self.settings)

    def processes(self, shared: Mapping[str, str]) -> Iterator[list[ManagedProcess]]:
        """Yield the processes in order of their start; those in one list stop together.

        Args:
            shared: the variables that all get.
        """
        variables = {
            **shared,
            "TICKPLANT_LOG_LEVEL": self.log_level,
            "TICKPLANT_LOG_FORMAT": self.settings.log_format,
        }
        yield [self._process("api", variables | {"TICKPLANT_API_PORT": str(self.settings.api_port)})]
        count = self.settings.workers
        if self.settings.archive_url is not None:
            yield [self._process("archive", self._with_metrics(variables, count + 3), arguments=_ARCHIVE)]
        if self.grpc:
            yield [self._process("grpc", self._with_metrics(variables, count + 2))]
        if (
            self.settings.kafka_bootstrap is not None
        ):  # stopped after the workers, so that it has all of theirs
            yield [self._process("mirror", self._with_metrics(variables, count + 1))]
        yield [
            self._process("worker", self._with_metrics(variables, number), number if count > 1 else 0)
            for number in range(1, count + 1)
        ]
        yield [self._process("ingest", self._with_metrics(variables, 0))]

    def _process(
        self, name: str, variables: Mapping[str, str], number: int = 0, *, arguments: Sequence[str] = ()
    ) -> ManagedProcess:
        return ManagedProcess(f"{name} {number}" if number else name, (name, *arguments), variables)

    def _with_metrics(self, variables: Mapping[str, str], number: int) -> dict[str, str]:
        """Add the port of metrics: from the set one upwards, or any free one."""
        port = self.settings.metrics_port
        return {**variables, "TICKPLANT_METRICS_PORT": str(port + number if port else free_port())}


async def make_plan(args: Namespace, settings: Settings, terminal: Terminal) -> UpPlan:
    """Decide what to run, and report it.

    Raises:
        UsageError: there is no such capture, or `--into` names no server.
        FatalError: the API's port is taken, Kafka's client is missing, or trades that must not mix would.
    """
    plan = await _make_plan(args, settings, terminal)
    if not args.grpc:
        return plan
    require_grpc()
    address = f"{settings.grpc_host}:{settings.grpc_port}"
    if not is_free(settings.grpc_port, settings.grpc_host):
        raise FatalError(
            f"{address} is taken or not this machine's: choose another TICKPLANT_GRPC_PORT, or correct"
            " TICKPLANT_GRPC_HOST"
        )
    terminal.report(f"gRPC will be at {address}")
    return replace(plan, grpc=True)


async def _make_plan(args: Namespace, settings: Settings, terminal: Terminal) -> UpPlan:
    if args.replay:
        _require_captures(args.replay)
        settings = _choose_replay_servers(args, settings, terminal)
    if settings.kafka_bootstrap is not None:
        require_kafka(settings)
    if settings.archive_url is not None:
        require_pyarrow()
    port = _choose_api_port(settings)
    terminal.report(f"starting; the page will be at {_shown_url(replace(settings, api_port=port))}/")
    if port != settings.api_port and settings.api_port:
        terminal.report(f"port {settings.api_port} is taken; TICKPLANT_API_PORT chooses another")
    settings = replace(settings, api_port=port)
    if args.replay:
        return _plan_replay(args, settings, terminal)
    if args.demo:
        return await _plan_demo(settings, terminal)
    return _tell(_plan_venues(settings, data_folder(settings)), terminal)


def _plan_venues(settings: Settings, folder: Path) -> UpPlan:
    return UpPlan(
        settings=settings,
        data=folder,
        source=expected_source(settings),
        log_level=settings.log_level,
    )


def _tell(plan: UpPlan, terminal: Terminal) -> UpPlan:
    if None in (plan.settings.redis_url, plan.settings.database_url):
        terminal.report(f"data is in {plan.data}")
    if plan.sandbox is None:
        terminal.report(f"trades come from {', '.join(_venue_urls(plan.settings))}")
    return plan


def _venue_urls(settings: Settings) -> list[str]:
    """Return the websocket addresses of the symbols' venues."""
    venues = dict.fromkeys(symbol.venue for symbol in settings.symbols)
    return [getattr(settings, f"{venue}_ws_url") for venue in venues]


def _require_captures(paths: Sequence[Path]) -> None:
    """Check the arguments of `--replay`.

    Raises:
        UsageError: one doesn't exist.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"--replay: there is no {path}")


def _choose_replay_servers(args: Namespace, settings: Settings, terminal: Terminal) -> Settings:
    """Return the settings with the servers that a replay goes to: of its own, or those of `--into`.

    Raises:
        UsageError: `--into` names none.
    """
    if args.into is not None:
        servers = _parse_servers(args.into)
        settings = replace(settings, database_read_url=None, archive_url=None, **servers)
        if settings.redis_url is None and settings.database_url is None:
            raise UsageError(
                "--into names no server: give it addresses such as redis://HOST:6379/1 and"
                " postgresql://USER@HOST/DATABASE, or set TICKPLANT_REDIS_URL and TICKPLANT_DATABASE_URL"
            )
        return settings
    left = [name for name in _SERVERS if getattr(settings, name) is not None]
    if left:
        names = ", ".join(map(variable, left))
        terminal.report(f"a replay has servers of its own, --into names others: {names} not used")
    return replace(settings, **dict.fromkeys(_SERVERS))


def _parse_servers(urls: Sequence[str]) -> dict[str, str]:
    """Return the addresses by setting.

    Raises:
        UsageError: one is neither Redis' nor PostgreSQL's.
    """
    found: dict[str, str] = {}
    for url in urls:
        name = next((name for name, schemes in _INTO.items() if url.startswith(schemes)), None)
        if name is None or name in found:
            expected = ", ".join((*REDIS_SCHEMES, *DATABASE_SCHEMES))
            raise UsageError(f"--into takes one address of Redis and one of PostgreSQL, with {expected}")
        found[name] = url.rstrip("/")
    return found


def _plan_replay(args: Namespace, settings: Settings, terminal: Terminal) -> UpPlan:
    asked = None if settings.symbols == _DEFAULTS.symbols else settings.symbols
    speed = args.speed or ("max" if args.once else "1")
    arguments = ["--capture", *map(str, args.replay), "--speed", speed, "--hold", *map(str, asked or ())]
    folder = data_folder(settings) if args.data else data_folder(settings) / "replay"
    # A capture may span more than trades are kept of a live stream.
    settings = replace(settings, keep_trades_days=0, keep_candles_days=0)
    # Lines about connections would only hide the progress.
    log_level = "warning" if args.once and settings.log_level == "info" else settings.log_level
    plan = UpPlan(
        settings=settings,
        data=folder,
        sandbox=_sandbox(arguments, log_level),
        asked=asked,
        source="replay",
        log_level=log_level,
    )
    return _tell(plan, terminal)


async def _plan_demo(settings: Settings, terminal: Terminal) -> UpPlan:
    folder = (settings.data or DEMO).absolute()
    url = settings.binance_ws_url
    reason = await unreachable(url + "/ws", Proxies().of(url))
    if reason is None:
        return _tell(_plan_venues(settings, folder / "live"), terminal)
    terminal.report(
        f"{settings.binance_ws_url} can't be reached ({reason}): the sandbox venue generates trades"
    )
    for name in ("redis_url", "database_url", "kafka_bootstrap"):
        if getattr(settings, name) is not None:
            raise FatalError(
                f"synthetic trades must not be mixed with those of venues in {variable(name)}:"
                " unset it for the demo, or repair the connection to the venue"
            )
    plan = UpPlan(
        settings=replace(settings, archive_url=None),
        data=folder / "synthetic",
        sandbox=_sandbox(
            ["--symbols", *map(str, settings.symbols), "--state", str(folder / "synthetic" / "markets")],
            settings.log_level,
        ),
        source="synthetic",
        log_level=settings.log_level,
    )
    return _tell(plan, terminal)


def _sandbox(arguments: list[str], log_level: str) -> ManagedProcess:
    """Return the sandbox; the metrics port of the settings is for the others."""
    variables = {"TICKPLANT_LOG_LEVEL": log_level, "TICKPLANT_METRICS_PORT": ""}
    return ManagedProcess("sandbox", ("sandbox", *arguments), variables)


def _shown_url(settings: Settings) -> str:
    """Return an address that a browser on this machine can open."""
    host, scheme = settings.api_host, "https" if settings.api_tls_cert else "http"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - all networks, so loopback, too
        host = "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _choose_api_port(settings: Settings) -> int:
    """Return the set port; any free one if it is 0; a neighbour of the default if that is taken.

    Raises:
        FatalError: the set port is taken.
    """
    wanted = settings.api_port
    if wanted == 0:
        return free_port()
    if is_free(wanted, settings.api_host):
        return wanted
    if wanted == _DEFAULTS.api_port:
        for port in range(wanted + 1, wanted + 20):
            if is_free(port, settings.api_host):
                return port
    raise FatalError(
        f"{settings.api_host}:{wanted} is taken or not this machine's:"
        " choose another TICKPLANT_API_PORT (0 takes any free one), or correct TICKPLANT_API_HOST"
    )
