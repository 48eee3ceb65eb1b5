"""The command `tickplant`; the same as `python -m tickplant`."""

import sys

try:
    from signal import SIG_DFL, SIG_UNBLOCK, SIGINT, default_int_handler, getsignal, pthread_sigmask, signal

    # Ctrl-C ends the process as the system does, with no traceback out of an import, until a loop takes it.
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)
    # The parent may have blocked SIGINT, as Python prints a traceback if it gets one while it starts.
    pthread_sigmask(SIG_UNBLOCK, [SIGINT])
except KeyboardInterrupt:
    sys.exit(130)


def main() -> int:
    """Run the command line and return the exit code."""
    from tickplant import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
