"""Errors that cross module borders, classified by how a caller should react.

Three outcomes exist for anything that goes wrong: *transient* (retry with backoff), *poison* (this one
input is bad: keep it aside with its reason, count it, go on) and *fatal* (stop the process; a supervisor
starts it again or a person reads the message).
"""


class TickplantError(Exception):
    """Any error that tickplant raises on purpose."""


class PoisonError(TickplantError):
    """One input is bad and will stay bad; its neighbours are fine."""


class FatalError(TickplantError):
    """The process can't go on; the message says what a person can do about it."""


class SettingsError(FatalError):
    """One or more settings are wrong.

    Attributes:
        problems: one line a variable, each beginning with the variable's name.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("wrong settings:\n" + "\n".join(f"  {problem}" for problem in problems))


class MixedSourcesError(FatalError):
    """Trades from elsewhere would mix with those that are stored; a restart would not help."""


class LeaseLostError(TickplantError):
    """Another owner holds the partition now; whatever is in memory is void."""


class UnstorableError(TickplantError):
    """The database refuses rows for what they hold; nothing of their transaction was written."""
