"""Prepares what the services of compose.yaml read when they start. Runs before them, each time.

Passwords are made up once and kept: they stand in files of volumes that only those services mount that need them,
never in the image, in a variable or in an argument. Where trades come from and where they go is written anew each
time: with `--demo`, from the sandbox, into a database and a part of Redis of their own, so that made-up trades never
mix with real ones.
"""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path("/run")
LOGINS: Final = {"owner": "tickplant", "writer": "tickplant", "reader": "tickplant"}
"""The database's login that the files of a folder are for."""
SANDBOX: Final = "sandbox:8000"
VENUES: Final = {"binance": ("ws", "http"), "coinbase": ("ws", "http"), "finnhub": ("ws",), "kraken": ("ws", "http")}
"""Venues, and by which protocols ingest speaks with them."""


def main(root: Path, *, demo: bool) -> None:
    """Write all files that are missing or that this start decides."""
    passwords = {login: _password(root / folder / "password") for folder, login in reversed(LOGINS.items())}
    database = "demo" if demo else "tickplant"
    for folder, login in LOGINS.items():
        _write(root / folder / "password", passwords[login])
        _write(
            root / folder / "database_url", f"postgresql://{login}:{passwords[login]}@timescaledb:5432/{database}"
        )
    _write(root / "reader" / "database", database)
    _password(root / "reader" / "grafana_password")
    settings = {"TICKPLANT_REDIS_URL": f"redis://redis:6379/{int(demo)}"} | (_sandbox() if demo else {})
    _write(root / "plant" / ".env", "".join(f"{name}={value}\n" for name, value in settings.items()))
    print("prepared for made-up trades" if demo else "prepared for live trades")


def _sandbox() -> Mapping[str, str]:
    """Return settings that point ingest at the sandbox, for all venues."""
    return {
        f"TICKPLANT_{venue.upper()}_{'WS' if scheme == 'ws' else 'REST'}_URL": f"{scheme}://{SANDBOX}/{venue}"
        for venue, schemes in VENUES.items()
        for scheme in schemes
    } | {"TICKPLANT_FINNHUB_API_KEY": "sandbox"}


def _password(path: Path) -> str:
    """Return the password in a file, made up if there is none."""
    if not path.exists():
        _write(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def _write(path: Path, text: str) -> None:
    """Write a file as a whole: readable to all who mount its volume, writable to this user alone."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o444)
    new.replace(path)


if __name__ == "__main__":
    main(ROOT, demo="--demo" in sys.argv)
