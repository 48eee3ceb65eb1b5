"""Opens notification targets with Apprise, which is imported only where there are targets.

Apprise logs parts of its URLs, so its lines, and those of the HTTP client that it uses, go nowhere.
"""

import logging
from typing import TYPE_CHECKING

from tickplant.errors import TickplantError
from tickplant.notifications import Target

if TYPE_CHECKING:
    from apprise import NotifyBase


class UnusableTargetError(TickplantError):
    """Apprise can't use a target; the message doesn't contain its URL."""


def open_target(target: Target) -> "NotifyBase":
    """Return the service of a target.

    Raises:
        UnusableTargetError: Apprise doesn't know it.
    """
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    log.addHandler(_NOWHERE)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # its debug lines contain paths with tokens
    from apprise import Apprise, AppriseAsset, NotifyBase

    # The persistent cache on disk would contain URLs.
    service = Apprise.instantiate(target.url, asset=AppriseAsset(app_id="tickplant", storage_mode="memory"))
    if not isinstance(service, NotifyBase):
        raise UnusableTargetError(
            f"the URL of target {target.name} is not one that Apprise can use: see"
            " https://github.com/caronc/apprise/wiki for how each service is written"
        )
    return service


_NOWHERE = logging.NullHandler()
