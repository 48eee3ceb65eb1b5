"""The HTTP client for venues' REST interfaces: through a proxy where one is set, and then errors name it."""

import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx

from tickplant.proxies import Proxies, Proxy


def open_venue_http(base_urls: Iterable[str], proxies: Proxies, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for requests to some addresses.

    Args:
        base_urls: of the venues.
        proxies: what leads there.
        timeout_s: longest wait for a connection, and for the next bytes of an answer.

    Raises:
        SettingsError: the proxy for one of the addresses can't be used.
    """
    certificates = httpx.create_ssl_context()
    mounts = {
        "{0.scheme}://{0.netloc}".format(urlsplit(url)): _Through(proxy, verify=certificates)
        for url in base_urls
        if url and (proxy := proxies.of(url))
    }
    # The library's own reading of the environment would take loopback through a proxy, too.
    return httpx.AsyncClient(timeout=timeout_s, verify=certificates, trust_env=False, mounts=mounts)


class _Through(httpx.AsyncHTTPTransport):
    def __init__(self, proxy: Proxy, *, verify: ssl.SSLContext) -> None:
        super().__init__(proxy=proxy.url, verify=verify, trust_env=False)
        self._proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.TransportError as error:
            raise type(error)(f"through the proxy {self._proxy}: {error}") from error
