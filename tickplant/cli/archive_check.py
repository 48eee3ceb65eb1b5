"""The check of the archive that `tickplant doctor` makes; it changes nothing."""

from tickplant.arrow import require_pyarrow
from tickplant.cli.finding import Finding
from tickplant.errors import FatalError
from tickplant.settings import Settings

_REMEDY = (
    "check TICKPLANT_ARCHIVE_URL, and an object store's credentials and endpoint; until then nothing is"
    " removed by age"
)


def check_archive(settings: Settings) -> list[Finding]:
    """Report whether the archive can be read; blocks for some seconds if it doesn't answer."""
    url = settings.archive_url
    if url is None:
        return []
    try:
        require_pyarrow()
        from maintenance.archive.reading import read_root
        from maintenance.archive.store import Store

        store = Store(url)
        root = read_root(store)
        if root is None:
            store.require_place()
    except FatalError as error:
        return [Finding("fail", "archive", str(error), _REMEDY)]
    if root is None:
        text = f"there is none at {url} yet; `tickplant archive` or `tickplant up` makes it"
        return [Finding("ok", "archive", text)]
    late = 0 < settings.keep_trades_days <= settings.archive_after_days
    if late:
        text = (
            f"days are archived after TICKPLANT_ARCHIVE_AFTER_DAYS={settings.archive_after_days} days, later"
            f" than TICKPLANT_KEEP_TRADES_DAYS={settings.keep_trades_days}: trades stay until then"
        )
        return [Finding("warn", "archive", text, "set one of the two")]
    return [Finding("ok", "archive", f"{url} answers, with {root.source} trades")]
