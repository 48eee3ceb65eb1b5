"""Finnhub's key: in the address that the client gets, and nowhere else."""

import logging
import traceback

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from ingest.venues.base import Refused
from ingest.venues.finnhub import FinnhubAdapter
from tickplant.errors import SettingsError

KEY = "s3cr3t/key+1"


def test_the_client_gets_the_key_as_it_must_be_sent() -> None:
    url = FinnhubAdapter(KEY).stream_url("wss://ws.finnhub.io", ["AAPL"])
    assert parse_uri(url).resource_name == "/?token=s3cr3t%2Fkey%2B1"


@pytest.mark.parametrize("base_url", ["https://ws.finnhub.io", "wss://", "wss://host/#here"])
def test_an_address_that_the_client_refuses_does_not_leak_the_key(base_url: str) -> None:
    url = FinnhubAdapter(KEY).stream_url(base_url, ["AAPL"])
    with pytest.raises(InvalidURI) as raised:
        connect(url)
    said = "".join(traceback.format_exception(raised.value))
    assert "isn't a valid URI" in said
    for text in (said, repr(raised.value), str(raised.value)):
        assert "s3cr3t" not in text


def test_the_key_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    venue = FinnhubAdapter(KEY)
    url = venue.stream_url("wss://ws.finnhub.io", ["AAPL"])
    logging.getLogger("test").warning("%s %r %s", url, url, vars(venue))
    assert "s3cr3t" not in caplog.text


def test_a_refusal_that_repeats_the_key_is_reported_without_it() -> None:
    frame = b'{"msg":"Invalid API key s3cr3t/key+1","type":"error"}'
    assert FinnhubAdapter(KEY).parse_frame(frame, 7) == Refused("Invalid API key (the key)")


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_names_the_setting(key: str | None) -> None:
    with pytest.raises(SettingsError, match="TICKPLANT_FINNHUB_API_KEY"):
        FinnhubAdapter(key)
