"""`tickplant doctor`: what is wrong, and how to mend it."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from tickplant import interrupts

if TYPE_CHECKING:
    from tickplant.cli.finding import Finding

HELP: Final = "check settings and servers, and say how to mend what is wrong"

DESCRIPTION: Final = """\
Check the settings, both servers (the ones at the addresses of the settings, or the embedded ones), the
database's schema, the free disk, the clocks, the venue, and Kafka where it is set. Nothing is changed or
started.

A line that says `warn` can wait; one that says `fail` keeps tickplant from working as it promises, and makes
the exit code 1. Below each is how to mend it.
"""

EXAMPLES: Final = """\
settings: all of .env.example

examples:
  tickplant doctor
  TICKPLANT_REDIS_URL=redis://10.0.0.5:6379 tickplant doctor
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from tickplant.cli.checks import check_settings, check_surroundings
    from tickplant.cli.kafka_check import check_kafka

    settings, findings = check_settings(args)
    if settings is not None:
        findings += interrupts.run(check_surroundings(settings)) + check_kafka(settings)
    for finding in findings:
        _print(finding)
    failures = sum(finding.level == "fail" for finding in findings)
    warnings = sum(finding.level == "warn" for finding in findings)
    print(f"\n{failures} to mend, {warnings} to know" if failures or warnings else "\nall is well")
    return 1 if failures else 0


def _print(finding: "Finding") -> None:
    print(f"{finding.level:<5} {finding.subject:<9} {finding.text}")
    if finding.mend:
        print(f"{'':<16}{finding.mend}")
