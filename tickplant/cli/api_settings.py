"""The settings of the API's services and servers; `api` and `grpc` share them."""

from api.access.rate_limits import RequestLimit
from api.http.tls import TlsFiles
from api.open_services import AccessSettings, ServerSettings, ServiceSettings
from tickplant.local.addresses import running_database, running_redis
from tickplant.settings import Settings


def service_settings(settings: Settings, *, host: str, host_setting: str) -> ServiceSettings:
    """Return the settings of the services.

    Args:
        settings: of the plant.
        host: the address that the server listens on.
        host_setting: where that is set.

    Raises:
        FatalError: no embedded server runs, and an address is not set.
    """
    return ServiceSettings(
        redis_url=running_redis(settings),
        database_url=running_database(settings),
        database_read_url=settings.database_read_url,
        partitions=settings.partitions,
        symbols=settings.symbols,
        alerts_per_user=settings.alerts_per_user,
        webhooks=settings.webhooks,
        notify_tags=settings.notifications.tags,
        access=AccessSettings(
            host=host,
            host_setting=host_setting,
            public=settings.public,
            rate=RequestLimit(settings.api_rate_requests, settings.api_rate_window_s),
        ),
    )


def server_settings(settings: Settings, *, host: str, port: int) -> ServerSettings:
    """Return the settings of a server at an address."""
    return ServerSettings(
        host=host,
        port=port,
        proxies=settings.api_proxies,
        tls=TlsFiles(settings.api_tls_cert, settings.api_tls_key) if settings.api_tls_cert else None,
        max_clients=settings.api_max_clients,
        max_clients_per_address=settings.api_max_clients_per_address,
    )
