"""Signal a process when its parent has died, where the kernel does not.

The parent holds the other end of standard input, and writes a byte before it closes it in peace.

python -I -S guard.py PID SIGNAL
"""

import os
import sys


def main() -> None:
    """Wait for a byte (all is well) or the end of the pipe (the parent died)."""
    if not os.read(0, 1):
        os.kill(int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
