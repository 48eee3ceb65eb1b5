"""The AsyncAPI document of the websocket and of server-sent events, made of the messages' types.

`python -m api.live.asyncapi > docs/asyncapi.yaml` writes it; that needs PyYAML, which is installed for
development.
"""

import sys
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.live.channel_definitions import PolledChannel, StreamedChannel
from api.live.channel_names import LIVE_INTERVALS
from api.live.channels import CHANNELS
from api.live.events import StreamClosed
from api.live.msgpack import MSGPACK_PROTOCOL
from api.live.protocol import Ack, Error, Joined, Op, Pong, Request, Resumed, StreamStatus

_HEADER: Final = "# Written by `python -m api.live.asyncapi`; a test compares it with what is sent.\n"
_WEBSOCKETS: Final = {
    "websocket": ("/ws", "All channels, by request."),
    "price": ("/ws/price/{symbol}", "As `/ws`, subscribed to `price:SYMBOL` by connecting."),
    "ohlcv": ("/ws/ohlcv/{symbol}", "As `/ws`, subscribed to `candles:SYMBOL:INTERVAL` by connecting."),
}
_ANSWERS: Final[list[type[Struct]]] = [Ack, Pong, Error, Resumed, Joined, StreamStatus]


def document() -> dict[str, Any]:
    """Return the document."""
    updates = [_struct(definition, snapshot=False) for definition in CHANNELS]
    snapshots = [_struct(definition, snapshot=True) for definition in CHANNELS]
    sent = [*_ANSWERS, *snapshots, *updates]
    kinds: list[type[Struct]] = [Request, *sent, StreamClosed]
    schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")[1]
    schemas["Request"]["properties"]["op"] = {"enum": sorted(get_args(Op))}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tickplant",
            "version": version("tickplant"),
            "description": "Live updates. docs/websocket.md describes channels, cursors, and codes.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": {"host": "127.0.0.1:8080", "protocol": "ws"},
            "events": {"host": "127.0.0.1:8080", "protocol": "http"},
        },
        "channels": _channels([_name(kind) for kind in sent]),
        "operations": _operations(),
        "components": {
            "messages": {
                _name(kind): {
                    "summary": _summary(schemas[kind.__name__]),
                    "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
                }
                for kind in kinds
            },
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _channels(sent: list[str]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, (address, description) in _WEBSOCKETS.items():
        described[name] = {
            "address": address,
            "description": description,
            "servers": [{"$ref": "#/servers/websocket"}],
            **_symbol_parameter(address),
            "messages": _references(["request", *sent]),
            "bindings": {"ws": {"query": _format(), "bindingVersion": "0.1.0"}},
        }
    described["events"] = {
        "address": "/sse",
        "description": "The same messages as server-sent events, for channels that the address names.",
        "servers": [{"$ref": "#/servers/events"}],
        "messages": _references([name for name in sent if name != "pong"] + [_name(StreamClosed)]),
    }
    return described


def _format() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "format": {
                "enum": ["json", "msgpack"],
                "description": f"MessagePack in binary frames; the subprotocol {MSGPACK_PROTOCOL} does"
                " the same.",
            }
        },
    }


def _operations() -> dict[str, Any]:
    """Return the operations, as the API sees them."""
    operations: dict[str, Any] = {}
    for name in _WEBSOCKETS:
        channel = {"$ref": f"#/channels/{name}"}
        request = [{"$ref": f"#/channels/{name}/messages/request"}]
        operations[f"receive_{name}"] = {"action": "receive", "channel": channel, "messages": request}
        operations[f"send_{name}"] = {"action": "send", "channel": channel}
    operations["send_events"] = {"action": "send", "channel": {"$ref": "#/channels/events"}}
    return operations


def _struct(definition: StreamedChannel[Any] | PolledChannel, *, snapshot: bool) -> type[Struct]:
    """Return the type of a channel's changes, or of its snapshots."""
    kind = definition.kind if snapshot else definition.message
    fields: list[Any] = [
        ("type", Literal["snapshot"] if snapshot else Literal[definition.message]),
        ("channel", Annotated[str, Meta(pattern=_pattern(definition))]),
        ("data", definition.state if snapshot else definition.data),
    ]
    if isinstance(definition, StreamedChannel):
        merged = definition.has_interval  # candles of merged intervals are polled
        fields.append(("cursor", str | UnsetType, UNSET) if merged else ("cursor", str))
    if snapshot:
        fields.append(("recovered", bool | UnsetType, UNSET))
    name = kind.capitalize() + ("Snapshot" if snapshot else "Update")
    text = f"{'The state of' if snapshot else 'A change in'} a channel of {definition.kind}."
    return msgspec.defstruct(name, fields, namespace={"__doc__": text}, kw_only=True)


def _pattern(definition: StreamedChannel[Any] | PolledChannel) -> str:
    symbol = ":[^:]+:.+" if definition.of_symbol else ""
    interval = f":({'|'.join(LIVE_INTERVALS)})" if definition.has_interval else ""
    return f"^{definition.kind}{symbol}{interval}$"


def _symbol_parameter(address: str) -> dict[str, Any]:
    described = {"symbol": {"description": "`venue:symbol`, or the symbol alone."}}
    return {"parameters": described} if "{symbol}" in address else {}


def _references(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _name(kind: type[Struct]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


def _summary(schema: dict[str, Any]) -> str:
    return str(schema["description"]).partition("\n")[0]


def as_yaml() -> str:
    """Return the document as text."""
    import yaml

    text: str = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)
    return _HEADER + text


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
