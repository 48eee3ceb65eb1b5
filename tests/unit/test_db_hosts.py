import pytest

from db.hosts import Host, for_other_clients, hosts_of, wanted_of


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://me:secret@one/x", [Host("one", 5432)]),
        ("postgresql://me:sec%40ret@one:1,two/x", [Host("one", 1), Host("two", 5432)]),
        ("postgresql://me@[::1]:3/x", [Host("::1", 3)]),
        ("postgresql://me@/x?host=one,two&port=1,2", [Host("one", 1), Host("two", 2)]),
        ("postgresql://me@/x?host=one,two&port=7", [Host("one", 7), Host("two", 7)]),
        ("postgresql://me@/x?host=/run/postgresql", [Host("/run/postgresql", 5432)]),
        ("postgresql://%2Frun%2Fpostgresql/x", [Host("/run/postgresql", 5432)]),
        ("postgresql:///x", []),
    ],
)
def test_hosts_are_those_that_libpq_finds_in_an_address(url: str, hosts: list[Host]) -> None:
    assert hosts_of(url) == hosts


def test_a_port_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="'x' is not a port"):
        hosts_of("postgresql://one:1,two:x/db")


def test_which_server_an_address_asks_for() -> None:
    assert wanted_of("postgresql://a,b/x", "primary") == "primary"
    assert wanted_of("postgresql://a,b/x?target_session_attrs=prefer-standby", "primary") == "prefer-standby"
    with pytest.raises(ValueError, match="'best', not one of any, primary"):
        wanted_of("postgresql://a,b/x?target_session_attrs=best", "primary")


def test_other_clients_are_told_to_look_for_the_primary_of_several_hosts() -> None:
    assert for_other_clients("postgresql://a/x") == "postgresql://a/x"
    assert for_other_clients("postgresql://a,b/x") == "postgresql://a,b/x?target_session_attrs=read-write"
    assert for_other_clients("postgresql://a,b/x?sslmode=require") == (
        "postgresql://a,b/x?sslmode=require&target_session_attrs=read-write"
    )
    chosen = "postgresql://a,b/x?target_session_attrs=any"
    assert for_other_clients(chosen) == chosen
