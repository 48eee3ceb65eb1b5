"""Whether gRPC can be served, and the check of it that `tickplant doctor` makes; that changes nothing."""

import os
import socket
import ssl
from importlib.util import find_spec
from ipaddress import ip_address
from itertools import chain
from typing import Any, Final

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
        raise SettingsError(
            [
                "gRPC's packages are not installed; run in tickplant's folder:"
                " .venv/bin/pip install -e '.[grpc]'"
            ]
        )
    if not _found("tickplant.api.v1"):
        raise SettingsError(
            [
                "the code of the gRPC services has not been generated; run in tickplant's folder:"
                " .venv/bin/pip install grpcio-tools && .venv/bin/python schema_build.py"
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
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the library's core would write to the terminal
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    if settings.api_tls_cert is None:
        protocol, channel = "", grpc.insecure_channel(address, options=options)
    else:
        try:
            certificate, name = _presented(host, port)
        except OSError as error:
            text = f"{address} does not serve gRPC over TLS: {system_reason(error) or error}"
            return Finding("fail", "grpc", text, _REMEDY)
        options.append(("grpc.ssl_target_name_override", name))
        credentials = grpc.ssl_channel_credentials(certificate.encode())
        protocol, channel = " TLS", grpc.secure_channel(address, credentials, options=options)
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S).status
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else str(error)
            return Finding("fail", "grpc", f"{address} does not serve gRPC: {code}", _REMEDY)
    if status == health_pb2.HealthCheckResponse.SERVING:
        return Finding("ok", "grpc", f"{address} serves{protocol}")
    text = f"{address} answers, but can't serve: Redis or the database is unavailable to it"
    return Finding("warn", "grpc", text, "see what it logs")


def _presented(host: str, port: int) -> tuple[str, str]:
    """Return the certificate of a server, in PEM format, and a name in it: whose it is does not matter here.

    Raises:
        OSError: TLS is not spoken, or the certificate has expired or names no host.
    """
    certificate = ssl.get_server_certificate((host, port), timeout=_TIMEOUT_S)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    with (
        socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain) as secure,
    ):
        described: Any = secure.getpeercert()
    for kind, name in (*described.get("subjectAltName", ()), *chain(*described["subject"])):
        if kind in ("DNS", "commonName"):
            return certificate, name
        if kind == "IP Address":
            return certificate, str(ip_address(name))
    raise OSError("its certificate names no host")


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
