"""The command line without dlt's own: `python -m dlt_dbtcloud`."""

from __future__ import annotations

import sys

from dlt_dbtcloud.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
