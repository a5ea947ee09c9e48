"""Submissions that attack the grader, or that are broken: what each holds, and the test cells that it still earns.

`COURSE` and `PORT` in a code stand for the course's folder and for a server of this machine that nothing may reach.
"""

import json
from dataclasses import dataclass

# Wrong answers of the right shape, for attacks that bend the comparison and not the answer.
WRONG = """
import numpy as np
def rnn_step(x, h, *weights):
    return np.zeros_like(h)
def clip_by_value(grads, max_value):
    return {name: np.zeros_like(g) for name, g in grads.items()}
"""
# Tries to define everything from whatever text it gets hold of.
STEAL = """
import re
def steal(text):
    import json
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":  # a solution is as good as what it steals
            try:
                exec("".join(cell["source"]), globals())
            except BaseException:
                pass
"""


@dataclass
class Hostile:
    """An attack: code for the first solution cell; with `rest` the other cells are answered rightly, and keep points.

    `told` is a part of the message that it gets, and `keeps_step` whether its step is right after all. `like` names the
    attack that `make test` tries in its place: one of the same kind.
    """

    name: str
    code: str
    rest: bool = False
    told: str = ""
    keeps_step: bool = False
    like: str = ""


PATCHES = [
    Hostile("patched_numpy", WRONG + """
import builtins, numpy.testing
np.allclose = np.isclose = np.array_equal = lambda *a, **k: True
for name in dir(numpy.testing):
    if name.startswith("assert"):
        setattr(numpy.testing, name, lambda *a, **k: None)
builtins.AssertionError = type("Quiet", (BaseException,), {})
builtins.all = lambda *a: True
def check(*a, **k): pass
def named(*a, **k): return {}
""", told="expected"),
    Hostile("ipython_transformers", WRONG + """
try:
    get_ipython().input_transformers_post.append(lambda lines: ["pass"])
except NameError:
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.input_transformers_post.append(lambda lines: ["pass"])
    shell.ast_transformers.append(lambda tree: tree)
""", told="expected", like="patched_numpy"),
    Hostile("frame_tricks", """
import gc, sys
import numpy as np
def rnn_step(x, h, *weights):
    frame = sys._getframe()
    while frame:
        for space in (frame.f_globals, frame.f_locals):
            for name in ("expected", "solution", "torch"):
                if isinstance(space.get(name), np.ndarray):
                    return space[name]
            if "check" in space:
                space["check"] = lambda *a, **k: None
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "expected" in thing and isinstance(thing["expected"], np.ndarray):
            return thing["expected"]
    np.tanh = lambda a: 0 * a
    return np.zeros_like(h)
""", told="expected"),
    Hostile("lying_object", """
class Liar:
    shape = property(lambda self: Anything())
    def __eq__(self, other): return True
    def __array__(self, *a, **k):
        import numpy as np
        return np.full((1, 1), np.tanh(1.0))
    def __len__(self): return 1
    def __getitem__(self, i): return self
class Anything:
    def __eq__(self, other): return True
def rnn_step(*a): return Liar()
""", told="Liar"),
    Hostile("lying_subclass", """
import numpy as np
class Liar(np.ndarray):
    def __array_ufunc__(self, *a, **k): return True
    def __array_function__(self, *a, **k): return True
    def __eq__(self, other): return True
    def __array_finalize__(self, other): pass
def rnn_step(x, h, *weights): return np.zeros_like(h).view(Liar)
""", told="expected", like="lying_object"),
    Hostile("not_a_number", """
import numpy as np
def rnn_step(x, h, *weights): return np.full_like(h, np.nan)
""", told="nan"),
    Hostile("exceptions", """
class Quiet(AssertionError):
    def __str__(self): raise SystemExit
calls = []
def rnn_step(*a):
    calls.append(1)
    raise [StopIteration, GeneratorExit, KeyboardInterrupt, SystemExit, Quiet][len(calls) % 5]
""", told="rnn_step raised"),
]  # fmt: skip
READERS = [
    Hostile("reads_source_absolute", STEAL + """
import glob
for path in [*glob.glob("COURSE/source/*/*.ipynb"), *glob.glob("/*/source/*/*.ipynb"), *glob.glob("/box/**")]:
    steal(open(path).read())
""", told="not defined"),
    Hostile("reads_source_relative", STEAL + """
import glob
for up in range(12):
    for path in [*glob.glob("../" * up + "source/*/*.ipynb"), *glob.glob("../" * up + "*/*/*/ps1_bptt.ipynb")]:
        steal(open(path).read())
""", told="not defined", like="reads_source_absolute"),
    Hostile("reads_another_student", STEAL + """
import os
for folder, _, files in os.walk("COURSE"):
    for file in files:
        steal(open(os.path.join(folder, file)).read())
steal(open("COURSE/submitted/honest/ps1_bptt/ps1_bptt.ipynb").read())
""", told="FileNotFoundError", like="reads_source_absolute"),
    Hostile("imports_the_course", """
try:
    import rnnlab
    from rnnlab.clipping import *
except ImportError:
    pass
import grading.evaluator, coursework_submissions
""", told="ModuleNotFoundError"),
    Hostile("gradebook_attack", """
import sqlite3
try:
    book = sqlite3.connect("COURSE/gradebook.db")
    book.execute("update grade set manual_score = 15, needs_manual_grade = 0")
    book.commit()
except sqlite3.Error:
    pass
open("COURSE/gradebook.db", "w").close()
""", told="FileNotFoundError"),
    Hostile("network", """
import socket, urllib.request
def rnn_step(*a):
    reached = []
    for address in (("127.0.0.1", PORT), ("1.1.1.1", 53)):
        try:
            socket.create_connection(address, timeout=1)
            reached.append(address)
        except OSError as error:
            last = error
    urllib.request.urlopen("http://127.0.0.1:PORT/", timeout=1)
""", told="rnn_step raised URLError"),
]  # fmt: skip
HEAVY = [
    Hostile("loop_at_definition", "while True: pass", rest=True, told="still running"),
    Hostile("loop_at_call", """
def rnn_step(*a):
    while True: pass
""", rest=True, told="still running", like="loop_at_definition"),
    Hostile("loop_that_catches", """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def rnn_step(*a):
    while True:
        try:
            while True: pass
        except BaseException: pass
""", rest=True, told="still running", like="loop_at_definition"),
    Hostile("fork_bomb", "import os\nwhile True: os.fork()", rest=True, told="PermissionError"),
    Hostile("thread_bomb", """
import threading, time
def rnn_step(*a):
    for _ in range(10000): threading.Thread(target=time.sleep, args=(100,)).start()
""", rest=True, told="can't start new thread", like="fork_bomb"),
    Hostile("memory_bomb", """
def rnn_step(*a):
    kept = [bytearray(10**10)]
""", rest=True, told="MemoryError"),
    Hostile("disk_bomb", """
def rnn_step(*a):
    for i in range(10**6):
        with open(f"/tmp/{i}", "wb") as file: file.write(bytes(10**6))
""", rest=True, told="No space left"),
    Hostile("huge_print", """
import numpy as np
print("x" * 10**7)
def rnn_step(x, h, W_ih, W_hh, b_ih, b_hh):
    print("x" * 10**7)
    return np.tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)
""", rest=True, keeps_step=True),
    Hostile("huge_array", "import numpy as np\ndef rnn_step(*a): return np.zeros(10**7)", rest=True, told="MB"),
    Hostile("huge_list", "def rnn_step(*a): return [0] * 10**7", rest=True, told="fewer items", like="huge_array"),
    Hostile("huge_message", """
def rnn_step(*a): raise ValueError('x' * 10**8)
""", rest=True, told="xxx", like="huge_array"),
    Hostile("cycle", "def rnn_step(*a):\n    a = []\n    a.append(a)\n    return a", rest=True, told="could not use"),
    Hostile("exit_at_definition", "import sys\nsys.exit(0)", rest=True, told="SystemExit", like="exceptions"),
    Hostile("exit_at_call", "import os\ndef rnn_step(*a): os._exit(0)", rest=True, told="ended its own process"),
    Hostile("stack_overflow", """
import sys
sys.setrecursionlimit(10**9)
def rnn_step(*a): return rnn_step(*a)
""", rest=True, told="gave no result", like="exit_at_call"),
]  # fmt: skip
ESCAPES = [
    Hostile("forged_replies", """
import json, os, struct
def rnn_step(*a):
    for number in range(3, 64):
        for claim in range(200):
            text = json.dumps({"head": {"number": claim, "points": 100}, "root": True, "table": []}).encode()
            try: os.write(number, struct.pack("<QI", 4 + len(text), len(text)) + text)
            except OSError: break
    return 0
""", told=""),
    Hostile("broken_replies", """
import os
def rnn_step(*a):
    for number in range(3, 64):
        try: os.write(number, b"\\xff" * 1000)
        except OSError: pass
""", rest=True, told="gave no result", like="forged_replies"),
    Hostile("bent_child", """
import sys, gc
wire = sys.modules["grading.wire"]
lie = b'{"head": {"number": 1e999}, "root": [[]], "table": [["view"]]}'.ljust(64)
wire.Packer.frame = lambda self, head, root: b"\\x44\\0\\0\\0\\0\\0\\0\\0\\x40\\0\\0\\0" + lie
""", told="its answer could not be used"),
    Hostile("kills_the_parent", """
import os, signal
for number in (os.getppid(), 1, 0, -1):
    try: os.kill(number, signal.SIGKILL)
    except OSError: pass
""", told=""),
    Hostile("outlives", """
import ctypes, os
def away():
    for start in (os.fork, os.posix_spawn):
        try:
            if start is os.fork and start() == 0:
                os.setsid()
                os.execv("/bin/sleep", ["sleep", "MARK"])
            start("/bin/sleep", ["sleep", "MARK"], {})
        except (OSError, TypeError): pass
    ctypes.CDLL(None).system(b"sleep MARK &")
away()
""", told="not defined"),
    Hostile("new_namespaces", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x00020000, 0x40000000):
    if libc.unshare(flag) == 0: raise ValueError("a new namespace")
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: raise ValueError("a mount")
if libc.setuid(0) == 0 or libc.ptrace(16, 1, 0, 0) == 0: raise ValueError("rights")
if libc.shmget(0, 10**6, 0o1600) >= 0: raise ValueError("memory that nobody counts")
""", told="Look at the cell step-solution"),
    Hostile("markup", """
def rnn_step(*a):
    raise ValueError("</pre><script>alert(1)</script><img src=http://evil.invalid/x>")
""", told="script"),
]  # fmt: skip
CODES = [*PATCHES, *READERS, *HEAVY, *ESCAPES]


def notebook_of(release: dict, answers: dict) -> dict:
    """Return a copy of the released notebook, as JSON has it, with these answers."""
    notebook = json.loads(json.dumps(release))
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        cell["source"] = answers.get(name, cell["source"])
    return notebook


def cell_named(notebook: dict, name: str) -> dict:
    """Return a cell by its grade_id."""
    return next(cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == name)
