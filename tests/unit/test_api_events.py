"""The ids of server-sent events, and the limits of their connections."""

import socket
from collections.abc import Sequence
from typing import Any

from api.http.timed_protocol import READ_S
from api.live.cursor import parse_cursors
from api.live.event_gate import _bound_delays
from api.live.events import EventIds, event
from api.live.frames import MessageHead, text_frame

A, B, C = "price:binance:A", "price:binance:B", "price:binance:C"
"""A and B are in partition 0, C is in partition 1."""


def ids(since: str = "", *, snapshot: bool = True, wildcards: bool = False) -> EventIds:
    given = parse_cursors(since).values() if since else ()
    return EventIds(given, lambda: {0: {A, B}, 1: {C}}, snapshot=snapshot, wildcards=wildcards)


def message(type_: str, channel: str, cursor: str, **others: Any) -> MessageHead:
    return MessageHead(type_, channel, cursor, **others)


def ack(cursor: str = "") -> MessageHead:
    return MessageHead("ack", cursor=cursor)


def sent(stream: EventIds, *heads: MessageHead) -> Sequence[str | None]:
    return [stream.after(head) for head in heads]


def test_a_new_stream_has_no_id_of_a_partition_before_all_its_channels_have_started() -> None:
    """A client cut off between two snapshots gets both again; it would never get the second otherwise."""
    assert sent(
        ids(),
        ack(),
        message("snapshot", A, "0.1-0"),
        message("price", A, "0.2-0.n0"),
        message("snapshot", C, "1.7-0"),
        message("snapshot", B, "0.2-0"),
        message("price", A, "0.3-0.n0"),
    ) == [None, None, None, "1.7-0", "1.7-0,0.2-0", "1.7-0,0.3-0.n0"]


def test_an_id_that_has_not_changed_is_not_repeated() -> None:
    stream = ids("0.1-0,1.1-0")
    assert sent(stream, ack(), MessageHead("stats"), message("price", A, "0.2-0.n0")) == [
        "0.1-0,1.1-0",
        None,
        "0.2-0.n0,1.1-0",
    ]


def test_a_resumed_stream_advances_with_each_message() -> None:
    assert sent(
        ids("0.1-0,1.1-0.e5-1"),
        ack(),
        message("resumed", A, "0.1-0"),
        message("price", B, "0.2-0.n0"),
        message("price", C, "1.3-0.n0"),
    ) == ["0.1-0,1.1-0.e5-1", None, "0.2-0.n0,1.1-0.e5-1", "0.2-0.n0,1.3-0.n0"]


def test_the_id_stays_before_a_loss_until_all_channels_of_the_partition_have_started_again() -> None:
    assert sent(
        ids("0.1-0,1.1-0"),
        ack(),
        message("snapshot", B, "0.9-0", recovered=False),
        message("price", B, "0.9-1.n0"),
        message("price", C, "1.2-0.n0"),
        message("resumed", A, "0.9-1", recovered=False),
        message("price", A, "0.9-2.n0"),
    ) == ["0.1-0,1.1-0", None, None, "0.1-0,1.2-0.n0", "0.9-1,1.2-0.n0", "0.9-2.n0,1.2-0.n0"]


def test_without_snapshots_the_id_is_that_of_the_acknowledgement_for_partitions_of_the_channels() -> None:
    assert sent(ids(snapshot=False), ack("0.1-0,1.1-0,2.1-0"), message("price", C, "1.2-0.n0")) == [
        "0.1-0,1.1-0",
        "0.1-0,1.2-0.n0",
    ]


def test_a_wildcard_is_resumed_in_partitions_without_a_channel_too() -> None:
    stream = ids(wildcards=True)
    assert sent(
        stream,
        ack("0.1-0,1.1-0,2.1-0"),
        message("joined", "price:binance:D", "0.1-5"),
        message("snapshot", A, "0.1-6"),
        message("snapshot", B, "0.1-6"),
    ) == ["2.1-0", None, None, "2.1-0,0.1-6"]


def test_a_channel_that_joins_while_others_start_again_is_not_awaited() -> None:
    stream = EventIds(parse_cursors("0.1-0").values(), lambda: {0: {A, B}}, snapshot=True, wildcards=True)
    assert sent(
        stream,
        ack(),
        message("resumed", "price:*", "0.5-0", recovered=False),
        message("joined", B, "0.5-0"),
        message("snapshot", A, "0.6-0", recovered=False),
    ) == ["0.1-0", None, None, "0.6-0"]


def test_an_event_is_the_message_on_one_line() -> None:
    frame = text_frame({"type": "error", "message": "two\nlines\r, and \u2028"})
    text = event(frame, "0.1-0")
    assert text.splitlines() == [b"id: 0.1-0", b"data: " + frame.payload, b""]
    assert event(frame, None) == b"data: " + frame.payload + b"\n\n"
    assert frame.head.message == "two\nlines\r, and \u2028"


def test_a_connection_whose_client_is_gone_without_a_word_ends() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        _bound_delays(accepted)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == READ_S * 1000
