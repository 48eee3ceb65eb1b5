"""Become another program that ends with its parent: run by path, in a bare interpreter, before any exec.

    python -I -S launch.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT...]

A uid of -1 keeps the user. A function handed to the fork would do the same, but forks of a process with
threads may not run Python.
"""

import os
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to the user, arm the parent's death signal, and become the program."""
    parent, death, uid, gid = map(int, sys.argv[1:5])
    arm = _death_signal()  # loaded first: the user may not be able to read this interpreter's library
    if uid >= 0:
        try:
            os.setgroups([gid])
            os.setgid(gid)
            os.setuid(uid)
        except OSError as error:
            sys.exit(f"can't become user {uid}: {error.strerror}")
    arm(death)  # armed last: a change of user disarms it
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    try:
        os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606
    except OSError as error:
        sys.exit(f"can't run {sys.argv[5]}: {error.strerror}")


def _death_signal() -> Callable[[int], object]:
    if sys.platform != "linux":
        return lambda death: None  # see guard.py
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda death: prctl(_PR_SET_PDEATHSIG, death, 0, 0, 0)


if __name__ == "__main__":
    main()
