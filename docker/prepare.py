"""Writes the files that the services of compose.yaml read when they start. Runs before them, at each start.

Passwords are generated once, in files of volumes that only the services that need them mount: never in the
image, in a variable or in an argument. The addresses of venues and servers are written at each start. If the
sandbox is running, they are its addresses, and a PostgreSQL database and a Redis database of their own, so
that synthetic trades never mix with real ones.
"""

import logging
import os
import secrets
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, build_opener

from tickplant.logs import set_up_logs

_log = logging.getLogger("docker.prepare")

ROOT: Final = Path("/run")
LOGINS: Final = {"owner": "tickplant", "writer": "tickplant_service"}
"""The database login of each folder's files."""
SANDBOX: Final = "sandbox:8000"
VENUES: Final = {
    "binance_ws_url": f"ws://{SANDBOX}/binance",
    "binance_rest_url": f"http://{SANDBOX}/binance",
    "coinbase_ws_url": f"ws://{SANDBOX}/coinbase",
    "coinbase_rest_url": f"http://{SANDBOX}/coinbase",
    "finnhub_ws_url": f"ws://{SANDBOX}/finnhub",
    "finnhub_api_key": "sandbox",
    "kraken_ws_url": f"ws://{SANDBOX}/kraken",
    "kraken_rest_url": f"http://{SANDBOX}/kraken",
}
"""The settings with the addresses of venues, and their values for the sandbox."""
SECRETS: Final = Path("/run/secrets")
"""The user's own secrets."""


def prepare(root: Path, *, demo: bool) -> None:
    """Write the passwords that don't exist yet, and the addresses of this start."""
    database = "demo" if demo else "tickplant"
    for folder, login in LOGINS.items():
        password = read_password(root / folder / "password")
        url = f"postgresql://{login}:{password}@timescaledb:5432/{database}"
        write(root / folder / "database_url", url)
    read_password(root / "reader" / "password")
    write(root / "reader" / "database", database)
    read_password(root / "reader" / "grafana_password")
    read_password(root / "writer" / "webhook_secret", configured("webhook_secret"))
    write(root / "plant" / "redis_url", f"redis://redis:6379/{int(demo)}")
    for setting, address in VENUES.items():
        write(root / "plant" / setting, address if demo else configured(setting))


def configured(setting: str) -> str:
    """Return a setting's value in the user's secret file or in .env; empty for the default."""
    secret = SECRETS / setting
    given = secret.read_text(encoding="utf-8").strip() if secret.exists() else ""
    return given or os.environ.get(f"TICKPLANT_{setting.upper()}", "")


def read_password(path: Path, given: str = "") -> str:
    """Return the password in a file; first write the given one, or a generated one if there is no file."""
    if given or not path.exists():
        write(path, given or secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def write(path: Path, text: str) -> None:
    """Write a file atomically; all users of its volume may read it."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o444)
    new.replace(path)


def sandbox_answers() -> bool:
    """Return whether the sandbox is running; if its profile is on, compose has waited for it."""
    try:
        with build_opener(ProxyHandler({})).open(f"http://{SANDBOX}/sandbox/status", timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    demo = sandbox_answers()
    prepare(ROOT, demo=demo)
    set_up_logs("info", "json")
    _log.info("synthetic trades of the sandbox" if demo else "live trades of the venues")
