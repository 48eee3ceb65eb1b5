"""What `tickplant doctor` says about who may use the API."""

from pathlib import Path

from msgspec.structs import replace

from tickplant.cli.checks import judge_access
from tickplant.settings import Settings


def test_doctor_says_who_may_use_the_api() -> None:
    outside = replace(Settings(), api_host="0.0.0.0")
    assert judge_access(Settings(), 0).level == "ok"
    assert judge_access(outside, 0).level == "fail"
    assert judge_access(outside, 1).level == "warn"
    assert judge_access(replace(outside, api_tls_cert=Path("plant.crt")), 1).level == "ok"
    assert judge_access(replace(outside, public="read"), 0).level == "ok"
    assert judge_access(replace(Settings(), public="none"), 0).level == "fail"
