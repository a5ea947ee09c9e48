"""The process that runs a student's code: it does what the grader asks, and answers with plain data.

It holds no secret. It knows neither tests nor expected values, so a student who takes it over gains nothing: whatever
it answers, the grader takes as that student's answer. Run as `python -I child.py LIMITS`, LIMITS being JSON.
"""

import json
import os
import sys

MAX_TEXT = 1000


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
