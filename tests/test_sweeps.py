"""Sweeps: every setting ends in the table or is named, whatever happens to workers, files and the person waiting."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

import rnnlab as rl
from rnnlab import gathering, loops, tables
from rnnlab.torch_twin import TorchModel

MODEL = rl.Model(rl.RNNCell(2, 4), output_size=1, loss=rl.squared_error)


def sweep(*args, **kwargs):
    return rl.sweep(*args, progress=False, **kwargs)


def product(a, b):
    return a * b


def column(results, name):
    return results[name].tolist()


# ---------------------------------------------------------------- the table


def test_each_setting_is_a_row_in_the_order_of_the_grid():
    results = sweep(product, a=[3, 1, 2], b=np.array([0.5, np.inf]))
    assert list(results.columns) == ["a", "b", "value", "seconds", "error"]
    pairs = list(itertools.product([3, 1, 2], [0.5, np.inf]))
    assert list(zip(results.a, results.b, strict=True)) == pairs
    assert column(results, "value") == [a * b for a, b in pairs]
    assert (results.seconds >= 0).all() and results.error.isna().all()


def test_a_history_becomes_its_final_metrics_and_divergence_never_wins():
    def run(lr, seed):
        return rl.train(MODEL, rl.Adding(5), rl.SGD(lr), clip=rl.ClipNorm(0.3), updates=8, seed=seed)

    results = sweep(run, lr=[0.1, 1e200], seed=range(3))
    for row in results.itertuples():
        history = run(row.lr, row.seed)
        assert row.loss == history.final_loss() and row.updates == len(history.loss)
        assert row.clipped == history.clipped.mean()
        assert row.diverged_at == history.diverged_at or (np.isnan(row.diverged_at) and history.diverged_at is None)
    assert results.groupby("lr").loss.mean().idxmin() == 0.1 and results.diverged_at.notna().sum() == 3


def test_results_may_be_texts_and_curves():
    def run(a):
        return {"name": "x" * a, "curve": np.arange(a) / 2, "nothing": None, "far": np.float64(a) ** 2}

    results = sweep(run, a=[1, 3])
    assert column(results, "name") == ["x", "xxx"] and column(results, "far") == [1.0, 9.0]
    assert column(results, "curve") == [[0.0], [0.0, 0.5, 1.0]]


@pytest.mark.parametrize(
    "result, message",
    [
        (object(), "TypeError: expected run to return a History, a number or a dict, got a object"),
        ({"model": MODEL}, "expected a number, a text, None or a list of numbers as result 'model'"),
        ({"table": np.zeros((2, 2))}, "as result 'table'"),
        ({"a": 1}, r"ValueError: expected results under names of their own, got \['a'\]"),
        ({1: 2}, "a dict with texts as keys"),
    ],
)
def test_a_result_that_is_no_row_is_named(result, message):
    with pytest.warns(UserWarning, match=f"1 of 2 settings failed: a=2: .*{message}"):
        results = sweep(lambda a: result if a == 2 else 1.0, a=[1, 2])
    assert results.error.isna().tolist() == [True, False] and results.value[0] == 1.0


def test_a_failed_setting_is_named_and_stops_no_other(tmp_path):
    healed = tmp_path / "healed"

    def run(a, name):
        if (a, name) == (2, "x") and not healed.exists():
            raise RuntimeError("out of\nluck")
        return a

    grid = {"a": [1, 2, 3], "name": ["x", "y"], "store": tmp_path / "r.parquet"}
    with pytest.warns(UserWarning, match=r"1 of 6 settings failed: a=2, name='x': RuntimeError: out of \(test_sweeps"):
        results = sweep(run, **grid)
    assert results.error.notna().tolist() == [False, False, True, False, False, False]
    assert column(results.dropna(subset="value"), "value") == [1, 1, 2, 3, 3]
    healed.touch()
    assert column(sweep(run, **grid), "value") == [1, 1, 2, 2, 3, 3]  # what failed is tried again


# ---------------------------------------------------------------- the store


def test_results_are_stored_as_they_arrive_and_never_run_twice(tmp_path):
    store, ran = tmp_path / "r.parquet", []

    def run(a, b):
        if ran:
            stored = pd.read_parquet(store)
            assert list(zip(stored.a, stored.b, strict=True)) == ran
        ran.append((a, b))
        return a * b

    first = sweep(run, store=store, a=[1, 2], b=[0.1, 0.3])
    assert len(ran) == 4 and os.listdir(tmp_path) == ["r.parquet"]
    again = sweep(run, store=store, a=[1, 2], b=[0.1, 0.3])
    assert len(ran) == 4
    pd.testing.assert_frame_equal(again, first, check_dtype=False)
    more = sweep(run, store=str(store), b=[0.3, 0.2], a=[2, 5])  # in another order, and without some of the old
    assert ran[4:] == [(5, 0.3), (2, 0.2), (5, 0.2)]
    assert list(zip(more.b, more.a, strict=True)) == [(0.3, 2), (0.3, 5), (0.2, 2), (0.2, 5)]
    assert column(more, "value") == [2 * 0.3, 5 * 0.3, 2 * 0.2, 5 * 0.2]
    assert len(pd.read_parquet(store)) == 7


def test_settings_come_back_as_they_went_in(tmp_path):
    calls = []

    def run(limit, name, on):
        calls.append((limit, name, on))
        return {"value": float(len(calls)), "word": "a" if on else None}

    grid = {"limit": [None, 0.1 + 0.2, np.inf], "name": ["x", None], "on": [True, False, None]}
    for _ in range(2):
        results = sweep(run, store=tmp_path / "r.parquet", **grid)
    assert len(calls) == 18 and column(results, "value") == list(range(1, 19))


def test_a_crash_while_writing_leaves_the_last_whole_table(tmp_path, monkeypatch):
    store, replace, writes = tmp_path / "r.parquet", os.replace, itertools.count()

    def crash(*args):
        if next(writes) == 2:
            raise OSError("no space left")
        replace(*args)

    monkeypatch.setattr(tables.os, "replace", crash)
    with pytest.raises(OSError, match="no space"):
        sweep(product, store=store, a=[1, 2, 3, 4], b=[1])
    assert column(pd.read_parquet(store), "a") == [1, 2] and os.listdir(tmp_path) == ["r.parquet"]
    (tmp_path / ".r.parquet.half").write_bytes(store.read_bytes()[:100])
    assert column(sweep(product, store=store, a=[1, 2, 3, 4], b=[1]), "value") == [1, 2, 3, 4]


def test_a_result_that_fits_no_column_costs_only_its_own_row(tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 settings failed: a=2: its results do not fit"):
        results = sweep(lambda a: {"value": "text" if a == 2 else a}, store=tmp_path / "r.parquet", a=[1, 2, 3])
    assert results.error.isna().tolist() == [True, False, True]


def test_a_store_of_something_else_is_refused_before_anything_runs(tmp_path):
    store = tmp_path / "r.parquet"
    sweep(product, store=store, a=[1], b=[2])
    with pytest.raises(ValueError, match=r"settings \['a'\], got \['a', 'b'\] in .*another file"):
        sweep(lambda a: pytest.fail("it ran"), store=store, a=[1])
    with pytest.warns(UserWarning, match="another source of `run`"):
        assert column(sweep(lambda a, b: 0, store=store, a=[1], b=[2]), "value") == [2]
    store.write_bytes(store.read_bytes()[:200])
    with pytest.raises(ValueError, match="expected a table that sweep stored"):
        sweep(product, store=store, a=[1], b=[2])
    pd.DataFrame({"a": [1], "b": [2]}).to_parquet(store)
    with pytest.raises(ValueError, match="expected a table that sweep stored"):
        sweep(product, store=store, a=[1], b=[2])


# ---------------------------------------------------------------- Ctrl-C


def swallowed():
    """What `train` does: end early, and return what there is."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return -1.0


def stopped():
    raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt", [swallowed, stopped])
def test_ctrl_c_keeps_what_was_done_and_stores_nothing_cut_short(tmp_path, interrupt):
    store, handler = tmp_path / "r.parquet", signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="interrupted: 2 of 4 settings are done"):
        results = sweep(lambda a: interrupt() if a == 3 else a, store=store, a=[1, 2, 3, 4])
    assert column(results, "value") == [1, 2] == column(pd.read_parquet(store), "value")
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupted_history_is_no_result():
    class Interrupting(rl.Adding):
        def sample(self, rng, batch_size, dtype):
            raise KeyboardInterrupt

    def run(length):
        return rl.train(MODEL, (rl.Adding if length < 7 else Interrupting)(length), rl.SGD(0.1), updates=2)

    with pytest.warns(UserWarning, match="interrupted: 1 of 2"):
        assert column(sweep(run, length=[5, 7]), "length") == [5]


def test_ctrl_c_picks_up_what_has_landed():
    class Landing(Executor):
        """Everything is done by the time the first result is asked for."""

        def submit(self, function, /, payload, job):
            future = Future()
            if job.settings[0]["a"] == 1:
                future.set_exception(KeyboardInterrupt())
            else:
                future.set_result(([{"value": job.settings[0]["a"], "error": None, "seconds": 0.0}], False))
            return future

    with pytest.warns(UserWarning, match="interrupted: 2 of 3"):
        assert column(sweep(product_of_one, Landing(), a=[1, 2, 3]), "value") == [2, 3]


def product_of_one(a):
    return a


# ---------------------------------------------------------------- executors


def test_threads():
    with ThreadPoolExecutor(2) as executor:
        assert column(sweep(lambda a: a + 1, executor, a=range(5)), "value") == [1, 2, 3, 4, 5]


def test_worker_processes_have_one_thread_and_take_functions_by_value(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    def run(a):
        return {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid(), "a2": a * a}

    with rl.processes(2) as executor:
        results = sweep(run, executor, a=range(6))
    assert set(results.threads) == {"1"} and os.getpid() not in set(results.pid)
    assert column(results, "a2") == [0, 1, 4, 9, 16, 25] and os.environ["OMP_NUM_THREADS"] == "7"


def test_a_worker_that_dies_costs_one_more_try(tmp_path):
    """Setting 3 kills its worker the first time, setting 5 every time: 3 gets a row, 5 is named, nothing else is."""
    died = tmp_path / "died"

    def run(a):
        if a == 5 or (a == 3 and not died.exists()):
            died.touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return a

    with rl.processes(2) as executor, pytest.warns(UserWarning, match="1 of 8 settings failed: a=5: lost with its wor"):
        results = sweep(run, executor, store=tmp_path / "r.parquet", a=range(8))
    assert died.exists() and column(results.dropna(subset="value"), "value") == [0, 1, 2, 3, 4, 6, 7]
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == 8


def test_a_broken_pool_that_is_not_ours_names_what_it_lost():
    def run(a):
        return os._exit(1) if a == 0 else a

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.warns(UserWarning, match="3 of 3 settings failed: a=0: lost with its worker: BrokenProcessPool"):
            sweep(run, executor, a=range(3))
        with pytest.warns(UserWarning, match="lost with its worker"):  # broken from the start
            assert sweep(run, executor, a=[1]).error.notna().all()


def test_a_function_whose_source_cannot_be_read(tmp_path):
    text = tmp_path / "page.md"
    text.write_text("It's a page (")
    names = {}
    exec(compile("def run(a): return a", text, "exec"), names)
    assert column(sweep(names["run"], store=tmp_path / "r.parquet", a=[1, 2]), "value") == [1, 2]


def test_functions_of_a_notebook_reach_the_workers():
    """A notebook's functions stand in __main__ without a file, as those of `python -c` do."""
    code = (
        "import rnnlab as rl\n"
        "def double(a): return 2 * a\n"
        "def run(a): return double(a)\n"
        "with rl.processes(1) as executor: print(rl.sweep(run, executor, a=[1, 4]).value.sum())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "10", result.stderr


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import rnnlab as rl\nrl.sweep(lambda a: a, rl.processes(1), a=[1])\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and 'must stand below `if __name__ == "__main__":`' in result.stderr.splitlines()[-1]


def test_what_an_executor_loses_flies_once_more_alone():
    class Losing(Executor):
        """Lose settings 1 and 2 the first time, and 2 always, by whatever error; refuse setting 3 the second time."""

        def __init__(self):
            self.calls = []

        def submit(self, function, /, payload, job):
            (setting,), future = job.settings, Future()
            self.calls.append(setting["a"])
            if setting["a"] == 3 and job.again:
                raise OSError("closed")
            lost = setting["a"] == 2 or (setting["a"] in (1, 3) and not job.again)
            if lost:
                future.set_exception(ValueError("not enough values to unpack"))  # Dask's, when a result dies in between
            else:
                future.set_result(function(payload, job))
            return future

    executor = Losing()
    with pytest.warns(UserWarning, match="2 of 5 .* a=2: lost with its worker: ValueError.* a=3: .*OSError: closed"):
        results = sweep(product_of_one, executor, a=range(5))
    assert results.error.isna().tolist() == [True, True, False, False, True]
    assert executor.calls[:5] == [0, 1, 2, 3, 4] and sorted(executor.calls[5:]) == [1, 2, 3]


def test_an_executor_that_takes_nothing_is_no_failed_setting():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        sweep(product_of_one, executor, a=[1])


def test_a_killed_worker_of_a_dask_cluster_loses_nothing(tmp_path):
    """Separate worker processes, one of which is killed by its own task during the sweep."""
    from distributed import Client, LocalCluster

    died = tmp_path / "died"

    def run(lr, seed):
        if (lr, seed) == (1.0, 2) and not died.exists():
            died.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        history = rl.train(MODEL, rl.Adding(5), rl.SGD(lr), updates=5, seed=seed)
        return {**history.summary(), "pid": os.getpid()}

    address = {"processes": True, "host": "127.0.0.1", "dashboard_address": None, "local_directory": str(tmp_path)}
    grid = {"lr": [0.1, 1.0], "seed": range(5), "store": tmp_path / "r.parquet"}
    with LocalCluster(n_workers=2, threads_per_worker=1, **address) as cluster, Client(cluster) as client:
        results = sweep(run, client.get_executor(), **grid)
    (tried_again,) = results.pid[(results.lr == 1.0) & (results.seed == 2)]
    assert results.error.isna().all() and int(died.read_text()) not in (tried_again, os.getpid())
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == 10
    for row in results.itertuples():
        history = rl.train(MODEL, rl.Adding(5), rl.SGD(row.lr), updates=5, seed=row.seed)
        assert row.loss == pytest.approx(history.final_loss(), rel=1e-12)


# ---------------------------------------------------------------- trainings done as one stack


@pytest.fixture
def trained(monkeypatch):
    """Return a list of how many runs each training had that was really done."""
    counts, start = [], loops.Loop.start

    def counting(loop, params):
        counts.append(loop.runs or 1)
        return start(loop, params)

    monkeypatch.setattr(loops.Loop, "start", counting)
    return counts


def same_as_alone(run, **grid):
    results = sweep(run, **grid)
    alone = sweep(run, stack=False, **grid)
    pd.testing.assert_frame_equal(results.drop(columns="seconds"), alone.drop(columns="seconds"), rtol=1e-9)
    return results


def test_trainings_of_equal_shape_are_one_stack(trained):
    """The function knows nothing of it: sizes, optimizers, tasks and what is done afterwards may differ."""

    def run(units, rule, max_norm, lr, seed):
        model = rl.Model(rl.RNNCell(2, units), output_size=1, loss=rl.squared_error)
        optimizer = {"sgd": rl.SGD, "adam": rl.Adam, "muon": rl.Muon}[rule](lr)
        clip = None if max_norm is None else rl.ClipNorm(max_norm)
        history = rl.train(model, rl.Adding(5), optimizer, clip, 6, seed, batch_size=4, progress=False)
        other = rl.train(model, rl.Adding(3 + seed), rl.SGD(0.1), updates=2, seed=seed, batch_size=4)
        checked = rl.evaluate(model, history.params, rl.Adding(5), rl.squared_error, 20, seed)
        return {**history.summary(), "curve": history.loss, "other": other.loss, "checked": checked}

    results = same_as_alone(
        run, units=[3, 5], rule=["sgd", "adam", "muon"], max_norm=[None, 0.1], lr=[0.1, 1e200], seed=range(3)
    )
    assert results.diverged_at.notna().any() and results.diverged_at.isna().any() and len(results) == 72
    by_stack = trained[: -2 * 72]  # the second sweep does each alone
    assert by_stack[:2] == [1, 1] and sum(by_stack) == 2 * 72 and len(by_stack) < 72
    assert max(by_stack) >= 5, "a group of equal shapes was not stacked"


def test_what_cannot_be_stacked_is_done_alone(trained):
    """A callback, and a twin of torch."""

    def run(engine, seed):
        seen = []
        model = TorchModel(MODEL) if engine == "torch" else MODEL
        listeners = [] if engine == "plain" else [lambda moment: seen.append(float(moment.loss))]
        history = rl.train(model, rl.Adding(5), rl.SGD(0.1), None, 3, seed, batch_size=4, callbacks=listeners)
        return {"last": history.loss[-1], "seen": sum(seen)}

    same_as_alone(run, engine=["plain", "callback", "torch"], seed=range(4))
    assert sorted(trained[: -3 * 4]) == [1] * 9 + [3]


def test_networks_too_wide_for_a_stack_are_done_alone(trained, monkeypatch):
    monkeypatch.setattr(gathering, "STACKED", 15)
    sweep(trains, lr=[0.1, 0.2], seed=range(3))
    assert trained == [1] * 6


def trains(lr, seed):
    return rl.train(MODEL, rl.Adding(5), rl.SGD(lr), updates=5, seed=seed, batch_size=4, progress=False)


def test_a_function_that_does_not_train_stays_in_its_thread():
    def run(a):
        return float(threading.current_thread() is threading.main_thread())

    assert column(sweep(run, a=range(5)), "value") == [1.0] * 5


def test_one_that_fails_in_a_stack_is_named_and_costs_no_other(trained):
    """Before its training, in it and after it."""

    def run(lr, seed):
        if seed == 2:
            raise ArithmeticError("before")
        history = rl.train(MODEL, rl.Adding(5), rl.SGD(-lr if seed == 3 else lr), updates=5, seed=seed, batch_size=4)
        if seed == 4:
            raise ArithmeticError("after")
        return history

    with pytest.warns(UserWarning, match="3 of 6 settings failed: lr=0.1, seed=2: ArithmeticError: before"):
        results = sweep(run, lr=[0.1], seed=range(6))
    assert results.error.notna().tolist() == [False, False, True, True, True, False]
    assert "ValueError: expected lr" in results.error[3] and "ArithmeticError: after" in results.error[4]
    assert results.error[4].endswith(f"(test_sweeps.py:{run.__code__.co_firstlineno + 5})")
    assert trained == [1, 3]  # the first, and the stack of those that got as far


def test_a_training_that_fails_as_a_stack_is_done_alone(trained, monkeypatch):
    """Whatever it is that one of them cannot stand."""

    class Moody(rl.Adding):
        def sample(self, rng, batch_size, dtype=np.float64):
            batch = super().sample(rng, batch_size, dtype)
            if batch.x[0, 0, 0] > 0.8:
                raise ArithmeticError("a bad day")
            return batch

    def run(seed):
        return rl.train(MODEL, Moody(5), rl.SGD(0.1), updates=3, seed=seed, batch_size=2)

    with pytest.warns(UserWarning, match="settings failed"):
        results = same_as_alone(run, seed=range(12))
    assert 0 < results.error.notna().sum() < 12


def test_workers_stack_too(tmp_path):
    def run(lr, seed):
        history = rl.train(MODEL, rl.Adding(5), rl.SGD(lr), updates=5, seed=seed, batch_size=4, progress=False)
        return {**history.summary(), "threads": threading.active_count()}

    grid = {"lr": [0.1, 0.2], "seed": range(9), "store": tmp_path / "r.parquet"}
    with rl.processes(workers=2) as executor:
        results = sweep(run, executor, **grid)
    assert results.threads.max() > 4 and results.error.isna().all()
    np.testing.assert_allclose(results.loss, [trains(row.lr, row.seed).final_loss() for row in results.itertuples()])


def test_ctrl_c_ends_a_stack(tmp_path):
    """What had landed is kept; the threads end."""

    def run(seed):
        return rl.train(MODEL, rl.Adding(5), rl.SGD(0.1), updates=5, seed=seed, batch_size=4, schedule=Interrupting())

    before = threading.active_count()
    with pytest.warns(UserWarning, match="interrupted: 1 of 8 settings are done"):
        results = sweep(run, store=tmp_path / "r.parquet", seed=range(8))
    assert column(results, "seed") == [0] and len(pd.read_parquet(tmp_path / "r.parquet")) == 1
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


class Interrupting:
    """A schedule that sends Ctrl-C in the second training."""

    trainings = 0

    def __call__(self, update):
        Interrupting.trainings += update == 0
        if Interrupting.trainings == 2:
            signal.raise_signal(signal.SIGINT)
        return 1.0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "error, message, call",
    [
        (ValueError, "at least one name with its values", {}),
        (TypeError, r"expected a to be a list of values, got 0.1; one value goes into a list too", {"a": 0.1}),
        (TypeError, "expected a to be a list of values, got 'xy'", {"a": "xy"}),
        (ValueError, "at least one value and none twice, got \\[\\]", {"a": []}),
        (ValueError, r"none twice, got \[1, 2, 1.0\]", {"a": [1, 2, 1.0]}),
        (TypeError, "numbers, or texts, or booleans, got nan", {"a": [1.0, float("nan")]}),
        (TypeError, r"numbers, or texts, or booleans, got \[1, 'x'\]", {"a": [1, "x"]}),
        (TypeError, r"numbers, or texts, or booleans, got \[True, 2\]", {"a": [True, 2]}),
        (TypeError, "got SGD.*give names, and let run make the objects", {"a": [rl.SGD(0.1)]}),
        (TypeError, r"a function of \['b'\]: .*'a'", {"b": [1]}),
        (TypeError, "expected an executor with submit", {"a": [1], "executor": 4}),
        (TypeError, r"store to be a path, got \[1\]; an argument of run needs another name", {"a": [1], "store": [1]}),
        (FileNotFoundError, "folder of store to be there", {"a": [1], "store": "nowhere/r.parquet"}),
        (TypeError, "expected stack to be True or False, got \\['a'\\]", {"a": [1], "stack": ["a"]}),
        (ValueError, r"got \['seconds'\]", {"a": [1], "seconds": [1]}),
    ],
)
def test_bad_calls_run_nothing(error, message, call):
    with pytest.raises(error, match=message):
        sweep(lambda a: pytest.fail("it ran"), **call)


def test_bad_functions():
    with pytest.raises(TypeError, match="not a callable"):
        sweep(3, a=[1])
    lock, unpicklable = threading.Lock(), pytest.raises(TypeError, match="sent to another process.*make open files")
    with rl.processes(1) as executor, unpicklable:
        sweep(lambda a: lock.locked(), executor, a=[1])
    with pytest.raises(ValueError, match="workers"):
        rl.processes(0)
