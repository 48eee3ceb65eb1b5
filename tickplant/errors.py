"""Errors that cross module boundaries, classified by how the caller reacts.

An error is *transient* (retry with backoff), *poison* (this input will never be valid: make it a dead letter
with its reason, count it, continue) or *fatal* (end the process; a supervisor restarts it, or a person reads
the message).
"""

from typing import Final

MALFORMED: Final = (ValueError, RecursionError)
"""What msgspec raises on malformed input: its own errors, invalid UTF-8, and too deep nesting."""


class TickplantError(Exception):
    """Any error that tickplant raises on purpose."""


class PoisonError(TickplantError):
    """One input is invalid and will never be valid; its neighbours may be valid."""


class FatalError(TickplantError):
    """The process can't continue; the message says how to fix it."""


class UsageError(FatalError):
    """The arguments of the command are wrong, or contradict each other."""


class SettingsError(FatalError):
    """One or more settings are wrong.

    Attributes:
        problems: one line per variable, starting with its name.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("wrong settings:\n" + "\n".join(f"  {problem}" for problem in problems))


class NotMigratedError(FatalError):
    """The database lacks this version's schema; `tickplant migrate` gives it."""


class MixedSourcesError(FatalError):
    """Trades of another source would mix with the stored ones; a restart would not help."""


class LeaseLostError(TickplantError):
    """Another worker owns the partition now; the state in memory is void."""


class LaterEpochError(LeaseLostError):
    """Redis knows a later epoch of a partition than the lease has.

    Attributes:
        epoch: that one.
    """

    def __init__(self, text: str, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(text)


class FormerPrimaryError(LeaseLostError):
    """The database server is a former primary: the plant has worked on a later timeline.

    Attributes:
        timeline: the later one.
    """

    def __init__(self, timeline: int) -> None:
        self.timeline = timeline
        super().__init__(
            "the database server is a former primary: the plant has gone on with a promoted replica, on"
            f" timeline {timeline}; stop that server, or make it a replica (pg_rewind, or a new copy); if it"
            " was restored from a backup on purpose, empty Redis"
        )


class UnstorableError(TickplantError):
    """The database refuses rows for their content; their transaction was rolled back."""
