"""Whether gRPC can be served, and the check of it that `tickplant doctor` makes; that changes nothing."""

import os
import socket
import ssl
from importlib.util import find_spec
from typing import Final

from tickplant.cli.finding import Finding
from tickplant.errors import SettingsError
from tickplant.local.folder import is_free
from tickplant.network_errors import system_reason
from tickplant.settings import Settings

_PACKAGES: Final = ("grpc", "grpc_health", "grpc_reflection", "google.rpc")
_TIMEOUT_S: Final = 5.0
_REMEDY: Final = "start it, stop the program that is there, or choose another TICKPLANT_GRPC_PORT"
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where all networks are reached from here


def require_grpc() -> None:
    """Make sure that gRPC can be served.

    Raises:
        SettingsError: something is missing.
    """
    if not all(_found(name) for name in _PACKAGES):
        problem = "gRPC's packages are not installed; run in tickplant's folder: pip install -e '.[grpc]'"
        raise SettingsError([problem])
    if not _found("tickplant.api.v1"):
        raise SettingsError(
            [
                "the code of the gRPC services has not been generated; run in tickplant's folder:"
                " pip install grpcio-tools && python schema_build.py"
            ]
        )


def check_grpc(settings: Settings) -> list[Finding]:
    """Report whether gRPC is served at the address of the settings; blocks for some seconds at most."""
    try:
        require_grpc()
    except SettingsError as error:
        return [Finding("ok", "grpc", f"not installed: {error.problems[0]}")]
    host, port = settings.grpc_host, settings.grpc_port
    if port == 0 or is_free(port, host):
        return [Finding("ok", "grpc", f"not running at {host}:{port}; `tickplant grpc` serves it")]
    return [ask_health(settings)]


def ask_health(settings: Settings) -> Finding:
    """Ask the server at the address of the settings whether it can serve; blocks for some seconds at most."""
    host, port = _ANY.get(settings.grpc_host, settings.grpc_host), settings.grpc_port
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if settings.api_tls_cert is not None:
        return _ask_tls(host, port, address)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the library's core would write to the terminal
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S).status
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else str(error)
            return Finding("fail", "grpc", f"{address} does not serve gRPC: {code}", _REMEDY)
    if status == health_pb2.HealthCheckResponse.SERVING:
        return Finding("ok", "grpc", f"{address} serves")
    text = f"{address} answers, but can't serve: Redis or the database is unavailable to it"
    return Finding("warn", "grpc", text, "see what it logs")


def _ask_tls(host: str, port: int, address: str) -> Finding:
    """Make sure that gRPC over TLS is spoken: whose certificate it is does not matter here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as secure,
        ):
            if secure.selected_alpn_protocol() == "h2":
                return Finding("ok", "grpc", f"{address} serves TLS")
        text = "no HTTP/2"
    except OSError as error:
        text = system_reason(error) or str(error)
    return Finding("fail", "grpc", f"{address} does not serve gRPC over TLS: {text}", _REMEDY)


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
