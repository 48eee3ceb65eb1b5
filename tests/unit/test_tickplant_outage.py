"""Outages are logged once, at their start and at their end."""

import logging

import pytest

from tickplant.outage import OutageLog

LOG = logging.getLogger("tests.outage")


def test_an_outage_is_logged_at_its_start_and_end(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(LOG, "Redis is unavailable, retrying", "Redis is available again")
    with caplog.at_level(logging.INFO, LOG.name):
        for _ in range(2):
            assert not outage.note_success()
            assert outage.note_failure(ConnectionError("refused"))
            assert not outage.note_failure("still refused")
            assert outage.active
            assert outage.note_success()
            assert not outage.active
    once = ["Redis is unavailable, retrying: refused", "Redis is available again"]
    assert [record.getMessage() for record in caplog.records] == 2 * once


def test_an_error_without_a_message_is_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(LOG, "the database is unavailable")
    outage.note_failure(TimeoutError())
    outage.note_success()
    assert [record.getMessage() for record in caplog.records] == ["the database is unavailable: TimeoutError"]
