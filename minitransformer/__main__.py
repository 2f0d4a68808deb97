"""Let ``python -m minitransformer`` do what the command ``minitransformer`` does."""

import sys

from minitransformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
