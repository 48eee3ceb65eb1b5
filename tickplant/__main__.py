"""`python -m tickplant`: the same as the command `tickplant`."""

import sys

from tickplant.cli import main

sys.exit(main())
