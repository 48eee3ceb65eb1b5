"""Names of keys in Redis."""

from inspect import getmembers, isfunction, signature

from tickplant import streams
from tickplant.streams import CANDLES_ROLE, MIRROR_ROLES, partition_hashes, partition_streams


def test_all_keys_of_a_partition_are_listed_each_once() -> None:
    named = []
    for _, function in getmembers(streams, isfunction):
        parameters = list(signature(function).parameters)
        if signature(function).return_annotation is str and parameters[-1] == "partition":
            roles = [(role,) for role in (CANDLES_ROLE, *MIRROR_ROLES)] if parameters[0] == "role" else [()]
            named += [function(*role, 7) for role in roles]
    listed = partition_streams(7) + partition_hashes(7)
    assert sorted(listed) == sorted(named)
    assert all("{7}" in name for name in named)
    assert len(named) > 8
