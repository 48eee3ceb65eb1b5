"""Help fits a terminal of 80 columns, and its examples can be copied."""

import shlex

import pytest

from tickplant.cli import COMMANDS, main


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if len(line) > columns] == []
    for example in text.replace("\\\n", "").partition("examples:\n")[2].partition("\n\n")[0].splitlines():
        if "tickplant" in example and "can't" not in example:
            shlex.split(example)  # no quotation is left open


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("up --bogus", "tickplant up: error: unrecognized arguments: --bogus"),
        ("doctor now", "tickplant doctor: error: unrecognized arguments: now\n"),
        (
            "archive verify --json binance:BTCUSDT",
            "unrecognized arguments: binance:BTCUSDT; symbols stand together, before or after the options\n",
        ),
        (
            "export",
            "tickplant export: error: the following arguments are required: {trades,candles,all-candles},"
            " --symbol",
        ),
    ],
)
def test_wrong_arguments_are_reported_with_the_usage_of_the_command(
    words: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words.split())
    assert capsys.readouterr().err.startswith(f"usage: tickplant {words.split()[0]} ")
    with pytest.raises(SystemExit):
        main(words.split())
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "db", "keys", "partitions"])
def test_help_is_shown_where_a_command_must_follow(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as help_shown:
        main([*words.split(), "--help"])
    assert help_shown.value.code == 0
    text = capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", text)


def test_the_usage_of_archive_has_its_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["archive", "--bogus"])
    usage = capsys.readouterr().err.partition("tickplant archive: error:")[0]
    for form in ("", " list", " verify"):
        assert f" tickplant archive{form} [SYMBOL ...] [--to URL] " in usage
