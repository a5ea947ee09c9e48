"""One store of executed lessons: each is run once per change, and everything that needs a run draws on it.

From the ground up:
    places      where the store lies, and the surroundings in which a lesson runs: no settings but this project's
    reach       which Python files of the repository a source can reach through the names that it uses
    keys        what an execution depends on, and whether that has changed
    inside      what runs in the kernel: it notes the files that are opened, and keeps the variables at the end
    kernels     one lesson in a kernel
    executions  the store: find an execution, or run and keep it
    running     several lessons at once, with a line for each
    pages       an execution as the book shows it

The book, nbval (tests/replay.py), the tests of lessons (tests/explorables.py) and `tools.store` use `executions`;
`python -m tools.lessons` runs what has changed.
"""
