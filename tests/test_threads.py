"""Threads: one where nobody has decided otherwise, and what a user has decided stays. Each case in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnlab as rl
from rnnlab.threads import VARIABLES

ROOT = Path(__file__).resolve().parents[1]
COUNT = """
import json, os, sys
from threadpoolctl import threadpool_info
def threads():
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
say = lambda value: print(json.dumps(value))
"""


def python(code, **variables):
    """Run code in a fresh process without the variables of this one, and return what it says."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-c", COUNT + code]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def threads(imports, **variables):
    """Return the number of threads of NumPy after these imports."""
    return python(f"{imports}; say(threads())", **variables)


@pytest.fixture(scope="module")
def plain():
    """The number of threads that NumPy takes by itself; where it is 1 these tests say little."""
    return threads("import numpy")


def test_one_thread_where_nobody_has_decided():
    assert threads("import rnnlab") == 1
    assert threads("import rnnlab.checks, numpy") == 1


def test_the_environment_is_left_as_it_was():
    assert python("before = dict(os.environ); import rnnlab; say(before == dict(os.environ))")


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_number_that_the_user_has_set_stays(name):
    for number in ("1", "2"):
        assert threads("import rnnlab", **{name: number}) == threads("import numpy", **{name: number})


def test_a_numpy_that_is_loaded_already_stays_as_it_is(plain):
    assert threads("import numpy, rnnlab") == plain


def test_one_thread_from_now_on(plain):
    assert threads("import numpy, rnnlab; rnnlab.one_thread()") == 1


def test_one_thread_for_the_length_of_a_block(plain):
    code = """
import numpy, rnnlab
with rnnlab.one_thread():
    inside = threads()
say([inside, threads()])"""
    assert python(code) == [1, plain]


def test_results_do_not_depend_on_it():
    a = np.random.default_rng(0).normal(size=(50, 50))
    with rl.one_thread():
        inside = a @ a
    np.testing.assert_allclose(inside, a @ a, rtol=1e-12)
