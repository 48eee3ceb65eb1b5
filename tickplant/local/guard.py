"""Signals a process when its parent has died, where the kernel does not.

Standard input is a pipe from the parent, which writes a byte to it if the process ended by itself.

python -I -S guard.py PID SIGNAL
"""

import os
import sys


def main() -> None:
    """Wait for a byte (the process has ended) or the end of the pipe (the parent has died)."""
    if not os.read(0, 1):
        os.kill(int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
