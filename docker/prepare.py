"""Prepares what the services of compose.yaml read when they start. Runs before them, each time.

Passwords are made up once and kept, in files of volumes that only those services mount that need them:
never in the image, in a variable or in an argument. Where trades come from and where they go is written anew
each time: while the sandbox runs, from there, into a database and a part of Redis of their own, so that
synthetic trades never mix with real ones.
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
"""The login to the database that the files of a folder are for."""
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
"""Settings that say where the venues are, and what they are for the sandbox."""
SECRETS: Final = Path("/run/secrets")
"""Files of the person's own."""


def prepare(root: Path, *, demo: bool) -> None:
    """Write the files that are missing, and those that this start decides."""
    database = "demo" if demo else "tickplant"
    for folder, login in LOGINS.items():
        password = read_password(root / folder / "password")
        url = f"postgresql://{login}:{password}@timescaledb:5432/{database}"
        write(root / folder / "database_url", url)
    read_password(root / "reader" / "password")
    write(root / "reader" / "database", database)
    read_password(root / "reader" / "grafana_password")
    read_password(root / "writer" / "webhook_secret", own("webhook_secret"))
    write(root / "plant" / "redis_url", f"redis://redis:6379/{int(demo)}")
    for setting, address in VENUES.items():
        write(root / "plant" / setting, address if demo else own(setting))


def own(setting: str) -> str:
    """Return what .env says of a setting, or the file that it names for a secret; empty for the default."""
    secret = SECRETS / setting
    given = secret.read_text(encoding="utf-8").strip() if secret.exists() else ""
    return given or os.environ.get(f"TICKPLANT_{setting.upper()}", "")


def read_password(path: Path, given: str = "") -> str:
    """Return the password in a file: the one that is given, or one that is made up and kept."""
    if given or not path.exists():
        write(path, given or secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def write(path: Path, text: str) -> None:
    """Write a file as a whole: for all who mount its volume to read, and for nobody else to change."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o444)
    new.replace(path)


def sandbox_answers() -> bool:
    """Say whether the sandbox runs; compose has waited for it if its profile is on."""
    try:
        with build_opener(ProxyHandler({})).open(f"http://{SANDBOX}/sandbox/status", timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    demo = sandbox_answers()
    prepare(ROOT, demo=demo)
    set_up_logs("info", "json")
    _log.info("trades are the sandbox's, synthetic" if demo else "trades are the venues'")
