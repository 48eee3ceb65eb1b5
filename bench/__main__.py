"""The command `python -m bench`."""

import sys

try:
    from signal import SIG_DFL, SIG_UNBLOCK, SIGINT, default_int_handler, getsignal, pthread_sigmask, signal

    # Ctrl-C ends the process as the system does, with no traceback out of an import, until a loop takes it.
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)
    pthread_sigmask(SIG_UNBLOCK, [SIGINT])  # the Makefile may have blocked it while Python starts
except KeyboardInterrupt:
    sys.exit(130)


def main() -> int:
    """Run the benchmark and return the exit code."""
    from bench import command

    return command.main()


if __name__ == "__main__":
    sys.exit(main())
