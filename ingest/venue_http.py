"""The HTTP client for venues' REST interfaces; errors name the proxy, if there is one."""

import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx

from tickplant.network_errors import system_reason
from tickplant.proxies import Proxies, Proxy


def open_venue_http(base_urls: Iterable[str], proxies: Proxies, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for requests to the given venues.

    Args:
        base_urls: of the venues' REST interfaces.
        proxies: for these addresses.
        timeout_s: longest wait for a connection, and between two blocks of a response.

    Raises:
        SettingsError: a proxy for one of the addresses is invalid.
    """
    certificates = httpx.create_ssl_context()
    mounts = {
        "{0.scheme}://{0.netloc}".format(urlsplit(url)): _ProxiedTransport(proxy, verify=certificates)
        for url in base_urls
        if url and (proxy := proxies.of(url))
    }
    # trust_env would send requests to loopback through a proxy, too.
    return httpx.AsyncClient(timeout=timeout_s, verify=certificates, trust_env=False, mounts=mounts)


class _ProxiedTransport(httpx.AsyncHTTPTransport):
    def __init__(self, proxy: Proxy, *, verify: ssl.SSLContext) -> None:
        super().__init__(proxy=proxy.url, verify=verify, trust_env=False)
        self._proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.TransportError as error:
            raise type(error)(f"through the proxy {self._proxy}: {system_reason(error) or error}") from error
