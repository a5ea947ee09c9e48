"""The process that runs a student's code: it does what the grader asks, and answers with plain data.

It holds no secret. It knows neither tests nor expected values, so a student who takes it over gains nothing: whatever
it answers, the grader takes as that student's answer. Run as `python -I child.py LIMITS`, LIMITS being JSON.
"""

import json
import os
import sys

MAX_TEXT = 1000
# Calls of the Linux kernel that honest work does without: (architecture, {call: number}). They begin other processes
# or programs, reach others, the network or the kernel's own machinery, or hold memory that no limit counts.
FORBIDDEN = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "shmget": 29}
        | {"mount": 165, "add_key": 248, "keyctl": 250, "unshare": 272, "setns": 308, "process_vm_readv": 310}
        | {"process_vm_writev": 311, "bpf": 321, "execveat": 322, "userfaultfd": 323, "pidfd_send_signal": 424}
        | {"io_uring_setup": 425, "pidfd_open": 434, "clone3": 435},
    ),
    "aarch64": (
        0xC00000B7,
        {"mount": 40, "unshare": 97, "ptrace": 117, "kill": 129, "shmget": 194, "socket": 198, "add_key": 217}
        | {"keyctl": 219, "clone": 220, "execve": 221, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271}
        | {"bpf": 280, "execveat": 281, "userfaultfd": 282, "pidfd_send_signal": 424, "io_uring_setup": 425}
        | {"pidfd_open": 434, "clone3": 435},
    ),
}


def set_limits(limits: dict) -> None:
    """Give up what the code to come must not have: first the resources, then the rights of root."""
    import resource

    for name, value in limits["resources"].items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError, AttributeError):  # a lower one holds already, or the system has none
            continue
    if limits["user"] is not None:
        os.setgroups([])
        os.setgid(limits["user"])
        os.setuid(limits["user"])
    forbid_calls(os.uname().machine)


def forbid_calls(machine: str) -> bool:
    """Let the kernel refuse the forbidden calls from now on, by a seccomp filter; return whether it does."""
    import ctypes
    import struct

    if not sys.platform.startswith("linux") or machine not in FORBIDDEN:
        return False
    architecture, calls = FORBIDDEN[machine]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # of the kernel's classic BPF
    numbers = sorted(calls.values())
    refuse = 5 + len(numbers)  # the last step, after the one that allows; a jump counts from the step after it
    steps = [(load, 0, 0, 4), (equal, 0, refuse - 2, architecture)]  # calls in another machine's way are refused
    steps += [(load, 0, 0, 0), (at_least, refuse - 4, 0, 0x40000000)]  # so are x86_64's second names for its calls
    steps += [(equal, refuse - i - 1, 0, number) for i, number in enumerate(numbers, start=4)]
    steps += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050001)]  # allowed; "not permitted"
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HP", len(steps), ctypes.addressof(code))
    control = ctypes.CDLL(None, use_errno=True).prctl
    return control(38, 1, 0, 0, 0) == 0 and control(22, 2, program, 0, 0) == 0


def take_pipes():
    """Return the two ends of the conversation; what the student's code reads and prints goes nowhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return requests, replies


class Session:
    """One notebook: a namespace in which cells are run and functions called."""

    def __init__(self, wire):
        self.wire, self.space = wire, {"__name__": "__main__"}

    def define(self, head, _):
        """Run a cell."""
        code = compile(head["source"], f"<{head['cell']}>", "exec")
        exec(code, self.space)

    def set(self, head, value):
        """Give a name a value."""
        self.space[head["name"]] = value

    def get(self, head, _):
        """Return the value of a name."""
        return self.space[head["name"]]

    def call(self, head, arguments):
        """Call a function."""
        positional, named = arguments
        return self.space[head["name"]](*positional, **named)

    def answer(self, request: bytes) -> bytes:
        """Do what a request asks and return the frame of the answer."""
        head, value, known = self.wire.unpack(request)
        number = {"number": head["number"]}
        if head["do"] in ("get", "call") and head["name"] not in self.space:
            return self.wire.Packer(known).frame({"missing": True} | number, None)
        try:
            reply, result = {}, getattr(self, head["do"])(head, value)
        except BaseException as error:  # a student may raise anything, SystemExit too
            reply, result = self.raised(error), None
        try:
            return self.wire.Packer(known).frame(reply | number, result)
        except BaseException as error:
            words = error if isinstance(error, self.wire.WireError) else f"{type(error).__name__}: {error}"
            return self.wire.Packer([]).frame({"unfit": str(words)[:MAX_TEXT]} | number, None)

    def raised(self, error):
        """Say what was raised, and in which line of which cell."""
        place, trace = None, error.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if file.startswith("<") and file.endswith(">"):
                place = [file[1:-1], trace.tb_lineno]
            trace = trace.tb_next
        if isinstance(error, SyntaxError):
            place = [str(error.filename)[1:-1], error.lineno]
        try:
            text = str(error.msg if isinstance(error, SyntaxError) else error)
        except BaseException:
            text = ""
        return {"raised": type(error).__name__, "text": text[:MAX_TEXT], "place": place}


def main(limits: dict) -> None:
    """Answer requests until there are no more."""
    requests, replies = take_pipes()
    set_limits(limits)
    sys.path[:0] = limits["path"]
    import warnings

    from grading import wire

    warnings.simplefilter("ignore")
    session = Session(wire)
    while len(size := requests.read(8)) == 8:
        request = requests.read(int.from_bytes(size, "little"))
        replies.write(session.answer(request))
        replies.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
