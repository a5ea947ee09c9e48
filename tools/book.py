"""Run Jupyter Book without what it would load for nothing: python -m tools.book build . --path-output book"""

import sys

# jsonschema would compile 38 grammars, more than a second of each build, to check addresses that no schema here holds.
sys.modules["rfc3987_syntax"] = None

from jupyter_book.cli.main import main  # noqa: E402

sys.exit(main())
