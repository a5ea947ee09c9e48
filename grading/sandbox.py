"""Start the process that runs a student's code, with nothing in reach and limits on everything, and talk to it."""

import contextlib
import functools
import importlib.util
import json
import os
import selectors
import shutil
import site
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from grading import wire

HERE = Path(__file__).resolve().parent
BOX = "/box"  # where the sandbox has our two files
NOBODY = 65534
MB = 2**20
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
VARIABLES = {"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "MPLBACKEND": "Agg", "PYTHONHASHSEED": "0", **THREADS}


class ChildGone(Exception):
    """The process ended, or had to be ended; the message says why, in words for the student."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use; a source notebook's metadata, under `grading`, may say otherwise."""

    call_seconds: float = 10.0  # wall time of one call, or of running one cell
    total_seconds: float = 60.0  # wall time of the whole submission, and CPU time of one process
    memory_mb: int = 1024

    def resources(self) -> dict:
        """Return the limits that the operating system holds."""
        return {
            "CPU": int(self.total_seconds) + 1,
            "DATA": self.memory_mb * MB,
            "AS": (self.memory_mb + 3072) * MB,  # with the libraries' files, which torch maps
            "FSIZE": 16 * MB,
            "NOFILE": 64,
            "NPROC": 0,  # honest work needs no second process
            "CORE": 0,
        }


@dataclass(frozen=True)
class Sandbox:
    """A way to start the process: `words` go before the Python, and `user` is who it becomes, None for no change."""

    name: str
    words: tuple = ()
    user: int | None = None
    python: str = sys.executable
    path: tuple = (str(HERE.parent),)
    script: str = str(HERE / "child.py")
    safe: bool = True

    def command(self, limits: Limits) -> list[str]:
        """Return the command that starts a child."""
        told = {"resources": limits.resources(), "user": self.user, "path": self.path}
        return [*self.words, self.python, "-I", "-B", self.script, json.dumps(told)]


def library_folders() -> list[str]:
    """Return the folders that Python and its packages are in, and the few system ones that they need.

    Never a whole prefix such as /usr: its share/ may hold nbgrader's exchange, with what others handed in.
    """
    folders = ["/usr/lib", "/usr/lib64", "/lib", "/lib64"]
    for prefix in (sys.base_prefix, sys.prefix):
        folders += [f"{prefix}/lib", f"{prefix}/lib64"]
    folders += site.getsitepackages()
    found = [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]
    return [folder for folder in found if not any(Path(other) in Path(folder).parents for other in found)]


def bindings(packages: tuple, hidden: tuple) -> list[str]:
    """Return bubblewrap's words for what can be seen: libraries, this Python, and our two files."""
    folders = library_folders()
    seen = {folder: folder for folder in folders}
    files = (sys.executable, f"{sys.prefix}/pyvenv.cfg", "/etc/ld.so.cache", "/etc/alternatives")
    seen |= {file: file for file in files}
    seen |= {f"{BOX}/grading/{file}": str(HERE / file) for file in ("wire.py", "child.py")}
    seen |= {f"{BOX}/{Path(package).name}": package for package in packages}
    words, made = [], {Path("/"), Path("/tmp")}
    for target, source in seen.items():
        if not os.path.exists(source):
            continue
        for parent in reversed(Path(target).parents):
            if parent not in made and not any(Path(folder) in (parent, *parent.parents) for folder in folders):
                words += ["--perms", "0755", "--dir", str(parent)]  # or else only root may pass
                made.add(parent)
        words += ["--ro-bind", source, target]
    for folder in hidden:  # a course that lies inside a library folder
        if any(Path(library) in (Path(folder), *Path(folder).parents) for library in folders):
            words += ["--tmpfs", folder]
    return words


def boxes(packages: tuple = (), hidden: tuple = ()) -> list[Sandbox]:
    """Return the sandboxes worth a try, the strictest first."""
    bwrap = shutil.which("bwrap")
    if not bwrap:
        return []
    spaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    general = ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    for name, value in VARIABLES.items():
        general += ["--setenv", name, value]
    seen = bindings(packages, hidden)
    inside = ["--size", str(64 * MB), "--perms", "1777", "--tmpfs", "/tmp", *seen]  # this Python may lie in /tmp
    inside += ["--perms", "0755", "--dir", "/dev"]  # a way that only root may go would keep torch from loading
    inside += ["--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"]
    inside += ["--remount-ro", "/", "--chdir", "/tmp"]
    ways = [("bubblewrap", ["--unshare-user", *more], [], None) for more in (["--disable-userns"], [])]
    if os.geteuid() == 0:  # as root: no limit on processes holds for root, so the child becomes nobody
        ways.insert(0, ("bubblewrap, as nobody", [], ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"], NOBODY))
    found = []
    for name, user_space, rights, user in ways:
        for proc in (["--proc", "/proc"], []):  # some containers allow no new /proc
            words = [bwrap, *user_space, *spaces, *general, *rights, *proc, *inside]
            found.append(Sandbox(name, tuple(words), user, path=(BOX,), script=f"{BOX}/grading/child.py"))
    return found


def plain(packages: tuple = ()) -> Sandbox:
    """Return what is left without bubblewrap: a process with limits, which sees what the grader sees."""
    path = [str(HERE.parent), *dict.fromkeys(str(Path(package).parent) for package in packages)]
    return Sandbox("none", path=tuple(path), safe=False)


@functools.lru_cache
def find_sandbox(packages: tuple = (), hidden: tuple = ()) -> Sandbox:
    """Return the strictest sandbox in which a child starts here and answers."""
    for box in boxes(packages, hidden):
        with contextlib.suppress(ChildGone), Child(box, Limits(call_seconds=60)) as child:
            child.ask({"do": "set", "name": "x"}, 1)
            return box
    return plain(packages)


@dataclass
class Child:
    """A running process; `ask` is one question and its answer. Use it in a `with`, which ends it."""

    sandbox: Sandbox
    limits: Limits
    process: subprocess.Popen = field(init=False)
    asked: int = field(init=False, default=0)

    def __post_init__(self):
        self.process = subprocess.Popen(
            self.sandbox.command(self.limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(VARIABLES) if not self.sandbox.safe else {},
            cwd="/" if self.sandbox.safe else None,
            start_new_session=True,
            bufsize=0,
        )
        for pipe in (self.process.stdin, self.process.stdout):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, 9)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, head: dict, value=None, seconds: float | None = None):
        """Return (head, value) of the answer; the objects in `value` are brought to the state that it tells.

        Raises ChildGone, with the process ended, if there is none in time or it is not one.
        """
        packer = wire.Packer()
        self.asked += 1
        request = packer.frame(head | {"number": self.asked}, value)
        seconds = self.limits.call_seconds if seconds is None else seconds
        try:
            answer = self.exchange(request, time.monotonic() + seconds, seconds)
            head, value, _ = wire.unpack(answer, packer.objects)
            if head.get("number") != self.asked:
                raise wire.WireError("it answers another question")
            return head, value
        except wire.WireError as error:
            self.end()
            raise ChildGone(f"its answer could not be used: {error}") from None
        except ChildGone:
            self.end()
            raise

    def exchange(self, request: bytes, deadline: float, seconds: float) -> bytes:
        """Write a frame, and read one."""
        waiting, answer = memoryview(request), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fileobj is self.process.stdout:
                        part = os.read(key.fd, 1 << 20)
                        if not part:
                            raise ChildGone(self.last_words())
                        answer += part
                    else:
                        try:
                            waiting = waiting[os.write(key.fd, waiting[: 1 << 16]) :]
                        except BrokenPipeError:
                            raise ChildGone(self.last_words()) from None
                        if not waiting:
                            selector.unregister(self.process.stdin)
                if len(answer) >= 8:
                    size = int.from_bytes(answer[:8], "little")
                    if size > wire.MAX_FRAME:
                        raise ChildGone(f"its answer is larger than {wire.MAX_FRAME // MB} MB")
                    if len(answer) >= 8 + size:
                        return bytes(answer[8 : 8 + size])
        raise ChildGone(f"it was still running after {seconds:.0f} seconds. Likely: a loop that never ends")

    def last_words(self) -> str:
        """Say how the process ended."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed the connection to the grader"
        if code in (-9, 137, -24, 152):  # bubblewrap adds 128 to a signal
            return "it was stopped: too much memory or time, or a signal that it sent itself"
        return f"it ended its own process (exit status {code}). Likely: exit(), os._exit() or a crash"


def packages_outside(modules: set[str]) -> tuple[str, ...]:
    """Return the folders of the packages among these that lie in no library folder, such as this repository's own.

    The sandbox shows what a problem set's own cells import, and no more: not the module of the course by itself.
    """
    found = []
    for name in sorted(modules - set(sys.builtin_module_names)):
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).parent if spec and spec.origin and spec.submodule_search_locations else None
        if place and not any(Path(folder) in place.parents for folder in library_folders()):
            found.append(str(place))
    return tuple(found)
