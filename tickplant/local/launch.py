"""Replaces itself by a program that ends with its parent; run by path in an isolated interpreter.

    python -I -S launch.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT...]

A uid of -1 keeps the user. A `preexec_fn` could do the same, but is unsafe in a process with threads.
"""

import os
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Change the user, set the parent-death signal, and execute the program."""
    parent, death_signal, uid, gid = map(int, sys.argv[1:5])
    set_death_signal = _load_prctl()  # before the change of user, who may not be able to read the library
    if uid >= 0:
        try:
            os.setgroups([gid])
            os.setgid(gid)
            os.setuid(uid)
        except OSError as error:
            sys.exit(f"can't become user {uid}: {error.strerror}")
    set_death_signal(death_signal)  # after the change of user, which clears it
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    try:
        os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606
    except OSError as error:
        sys.exit(f"can't run {sys.argv[5]}: {error.strerror}")


def _load_prctl() -> Callable[[int], object]:
    if sys.platform != "linux":
        return lambda signal: None  # guard.py does it there
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda signal: prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)


if __name__ == "__main__":
    main()
