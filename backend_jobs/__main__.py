"""`python -m backend_jobs`."""

import sys

from backend_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
