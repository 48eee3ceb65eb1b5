"""What waits for a client: newest prices, all trades, never more than a bound."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from api.live.client import CHUNK_BYTES, Client, Outbox
from api.live.frames import EncodedMessage, joined
from api.live.sinks import PacedSink

LIMIT_BYTES = 100_000


class FakeWriter:
    def __init__(self) -> None:
        self.writable = True
        self.written: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.room_bytes: int | None = None

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        frames = joined(messages)
        self.written.append(frames)
        if self.room_bytes is not None:
            self.room_bytes -= len(frames)
            self.writable = self.room_bytes > 0

    async def wait_writable(self) -> None:
        self.writable = True

    def close_now(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


def a_client() -> tuple[Client, FakeWriter, list[Client]]:
    writer = FakeWriter()
    dirty: list[Client] = []
    return Client(writer, dirty, limit_bytes=LIMIT_BYTES), writer, dirty


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(1, 50))), st.integers(1, 200))
def test_the_last_of_each_key_remains_in_order_of_its_coming(
    pushes: list[tuple[str, int]], max_bytes: int
) -> None:
    outbox = Outbox(LIMIT_BYTES)
    for number, (key, size) in enumerate(pushes):
        assert outbox.put(key, EncodedMessage(bytes(size), str(number)))
    last = {key: number for number, (key, _) in enumerate(pushes)}
    assert outbox.replaced == len(pushes) - len(last)
    taken = []
    while outbox.waiting:
        frames = outbox.take(max_bytes)
        assert frames
        assert sum(len(frame.data) for frame in frames[:-1]) < max_bytes
        taken += [int(frame.cursor) for frame in frames]
    assert taken == sorted(last.values())


def test_a_client_that_reads_gets_everything_in_one_write() -> None:
    client, writer, dirty = a_client()
    for number in range(3):
        client.send(EncodedMessage(b"%d" % number))
    assert dirty == [client]
    assert client.flush() == 3
    assert writer.written == [b"012"]


def test_a_single_frame_is_written_as_it_is() -> None:
    client, writer, _ = a_client()
    frame = EncodedMessage(b"the same object for every client")
    client.send(frame)
    client.flush()
    assert writer.written[0] is frame.data


def test_a_client_that_does_not_read_gets_the_newest_when_it_does() -> None:
    client, writer, _ = a_client()
    writer.writable = False
    for number in range(10_000):
        client.push("price", EncodedMessage(b"%5d" % number))
        assert client.flush() == 0
    writer.writable = True
    assert client.flush() == 1
    assert writer.written == [b" 9999"]
    assert writer.closed is None


async def test_what_waits_for_its_interval_goes_before_a_later_cursor() -> None:
    """A client that resumes at the newest cursor of a partition would miss it otherwise."""
    client, writer, _ = a_client()
    sink = client.paces[60.0] = PacedSink(client, 60.0)
    sink.push("a", EncodedMessage(b"1", "0.1-0.n0"))
    client.send(EncodedMessage(b"2"))
    client.send(EncodedMessage(b"3", "0.2-0"))
    client.flush()
    assert writer.written == [b"213"]


def test_no_more_is_handed_over_than_the_connection_takes() -> None:
    client, writer, _ = a_client()
    writer.room_bytes = 1
    for _ in range(9):
        client.send(EncodedMessage(bytes(10_000)))
    client.flush()
    assert sum(map(len, writer.written)) <= CHUNK_BYTES + 10_000


def test_a_client_with_a_full_queue_is_closed_with_a_cursor_to_resume_from() -> None:
    client, writer, _ = a_client()
    client.send(EncodedMessage(b"x", "1.5-0.n1"))
    client.flush()
    writer.writable = False
    for number in range(11):
        client.send(EncodedMessage(bytes(10_000), f"1.6-{number}.n1"))
    assert writer.closed == (4008, "too slow; subscribe again with since=1.5-0.n1")
    assert client.closed
    client.send(EncodedMessage(b"y"))
    assert client.flush() == 0
