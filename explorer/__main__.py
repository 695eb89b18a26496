"""`python -m explorer`."""

import sys

try:
    from explorer.cli import command
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(command())
