"""`python -m alysd` is `alysd`."""

import sys

from alysd.cli import main

sys.exit(main())
