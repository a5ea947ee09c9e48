"""Random draws of tests: others every day, the same all day, so that a red run can be repeated.

Each test begins with seeds made of the day and of its own name, so that neither the order of the tests nor the number
of workers matters. They hold for `random`, NumPy's old global state, torch if it is loaded, and the fixture `chance`, a
`numpy.random.Generator`. A fixture that several tests share has seeds of its own. The first lines of a run name the
day; to repeat the run of another one, set it: `RNNLAB_CHANCE=2026-12-01 make test`. Any text will do.
"""

import datetime
import hashlib
import os
import random
import sys

import numpy as np
import pytest

NAME = "RNNLAB_CHANCE"


def today():
    """Return what the draws depend on beside the test: RNNLAB_CHANCE, else this day in UTC."""
    return os.environ.get(NAME) or datetime.datetime.now(datetime.UTC).date().isoformat()


def seed_of(name, day=None):
    """Return a seed, a number below 2**32, for a test or a fixture and a day."""
    digest = hashlib.sha256(f"{day or today()} {name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def begin(name):
    """Seed the global generators for a test or a fixture."""
    seed = seed_of(name)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


# ---------------------------------------------------------------- hooks: conftest.py makes this file a plugin


def pytest_configure():
    """Hold the day for the whole run, past midnight and in every worker and kernel."""
    os.environ[NAME] = today()


def pytest_report_header():
    """Say how to repeat the draws of this run."""
    return f"chance: {NAME}={today()} repeats this run's random draws"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seed before any fixture of the test is made."""
    begin(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Give what several tests share seeds of its own, since it is made for whichever comes first."""
    if fixturedef.scope == "function":
        return (yield)
    begin(f"{fixturedef.baseid}::{fixturedef.argname}[{getattr(request, 'param_index', 0)}]")
    made = yield
    begin(request.node.nodeid if request._pyfuncitem is None else request._pyfuncitem.nodeid)
    return made


@pytest.fixture
def chance(request):
    """A generator of NumPy, seeded for this test and day."""
    return np.random.default_rng(seed_of(request.node.nodeid))
