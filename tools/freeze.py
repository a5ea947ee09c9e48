"""Print constraints.txt for what .venv holds; the header below has the command.

Make it with an early Python 3.11, such as Debian 12's 3.11.2: packages drop patch releases too (soupsieve 4: 3.11.5).
"""

import re
import subprocess
import sys

HEADER = """\
# Every package of the environment with its version, so that it still installs next year. Made by
#   make env FOR=all VERSIONS=pinned && .venv/bin/python -m tools.freeze > constraints.txt
# with Python 3.11.2, on Linux: a package that only another system needs is not held."""


def main() -> None:
    """Print the header and one line for each installed package."""
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # A local version such as torch's +cpu names one build: the others serve as well.
    print("\n".join([HEADER, *(re.sub(r"\+\w+$", "", line) for line in frozen)]))


if __name__ == "__main__":
    main()
