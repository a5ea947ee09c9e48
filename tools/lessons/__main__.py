"""Run the lessons that have changed: python -m tools.lessons [NUMBER ...], as in `python -m tools.lessons 04 17`."""

import sys

from tools.lessons.running import main

sys.exit(main(sys.argv[1:]))
