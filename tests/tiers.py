"""Two tiers of tests: `make test` in minutes, with every kind of check in it, and `make test-all` with every case.

`make test-all ARGS=--tier=rest` runs what the second has beyond the first: CI runs the one after the other.

A test is left to `make test-all` by what it needs, never by taste:

- `full(why)`: it repeats, on more pages, lessons, states or records, a check that `make test` makes on some of them;
  `why` says on which. A case of a parametrized test gets it by `every(cases, first=..., why=...)`.
- `needs(package)`: it needs a package that only the environment of `make test-all` holds.

The last lines of `make test` say how many tests it left, and why.
"""

import importlib.util
from collections import Counter

import pytest

MARKS = (
    "full(why): a repetition of a check, left to `make test-all`; `why` says what `make test` checks instead",
    "needs(package): a test that needs a package of the environment of `make test-all`",
)


def every(cases, first, why):
    """Return cases for `parametrize`: those in `first` belong to both tiers, the others to `make test-all`.

    Args:
        cases: all of them.
        first: the ones that `make test` takes; each must be one of `cases`.
        why: what `make test` checks instead of the others.
    """
    cases, first = list(cases), set(first)
    if strangers := first - set(cases):
        raise ValueError(f"expected `first` to be among the cases, got {sorted(map(str, strangers))} beside them")
    return [case if case in first else pytest.param(case, marks=pytest.mark.full(why)) for case in cases]


def reason(item):
    """Return why the quick tier leaves a test, or None."""
    if mark := item.get_closest_marker("full"):
        return mark.args[0]
    for mark in item.iter_markers("needs"):
        return f"needs {mark.args[0]}, of the environment of `make test-all`"
    return None


# ---------------------------------------------------------------- hooks, which conftest.py imports


def add_option(parser):
    """Add --tier."""
    what = "which tests run (tests/tiers.py): quick, all, or rest, which is all without quick"
    parser.addoption("--tier", choices=("quick", "rest", "all"), default="all", help=what)


def register(config):
    """Make the marks known."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def leave(config, items):
    """Take out, in place, what does not belong to the tier; keep the count of what the quick one leaves, and why."""
    tier, reasons = config.getoption("--tier", "all"), {item: reason(item) for item in items}
    left = [item for item, why in reasons.items() if tier == "quick" and why or tier == "rest" and not why]
    if left:
        items[:] = [item for item in items if item not in set(left)]
        config.hook.pytest_deselected(items=left)
    config.stash[LEFT] = Counter(filter(None, map(reasons.get, left)))
    if hasattr(config, "workeroutput"):  # a worker of xdist: the terminal is elsewhere
        config.workeroutput["left"] = dict(config.stash[LEFT])


LEFT = pytest.StashKey()


def tell(terminal, left):
    """Write what was left, and why, the most first."""
    if left:
        terminal.section(f"{sum(left.values())} tests are left to `make test-all`")
        for why, count in left.most_common():
            terminal.write_line(f"{count:5d}  {why}")


def installed(package):
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None
