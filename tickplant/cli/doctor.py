"""`tickplant doctor`: checks settings and servers, and reports errors and warnings."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from tickplant import interrupts

if TYPE_CHECKING:
    from tickplant.cli.finding import Finding

HELP: Final = "check settings and servers, and show how to fix what is wrong"

DESCRIPTION: Final = """\
Check the settings, Redis and PostgreSQL (your servers or the embedded ones), the database schema, free disk
space, clocks, venues, gRPC if it is installed, and Kafka if it is configured. Nothing is started or changed.

`fail` marks an error: tickplant can't work correctly until it is fixed, and the exit code is 1. `warn` marks
something that can wait. The line below each one shows how to fix it.
"""

EXAMPLES: Final = """\
settings: all in .env.example

examples:
  tickplant doctor
  TICKPLANT_REDIS_URL=redis://10.0.0.5:6379 tickplant doctor
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from tickplant.cli.archive_check import check_archive
    from tickplant.cli.checks import check_settings, check_surroundings
    from tickplant.cli.grpc_check import check_grpc
    from tickplant.cli.kafka_check import check_kafka

    settings, findings = check_settings(args)
    if settings is not None:
        findings += interrupts.run(check_surroundings(settings))
        findings += check_kafka(settings) + check_grpc(settings) + check_archive(settings)
    for finding in findings:
        _print(finding)
    errors = sum(finding.level == "fail" for finding in findings)
    warnings = sum(finding.level == "warn" for finding in findings)
    print(f"\n{_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return 1 if errors else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print(finding: "Finding") -> None:
    print(f"{finding.level:<5} {finding.subject:<9} {finding.text}")
    if finding.remedy:
        print(f"{'':<16}{finding.remedy}")
