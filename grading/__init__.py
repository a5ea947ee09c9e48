"""Grade problem sets: a student's code runs in a sandbox, the tests and the gradebook stay outside of it.

`python -m grading COURSE ASSIGNMENT` is `make grade COURSE=... ASSIGNMENT=...`. From the inside out:

- `wire`: plain data as bytes, between the two processes; `child`: the process that runs a student's code
- `sandbox`: starts it, with limits, and talks to it; `notebooks`: what a source and a submission contain
- `marks`: what comes out, in points and words; `evaluator`: runs the trusted tests against the student's functions
- `pages`: the feedback page and the notebook that nbgrader's formgrader shows; `gradebooks`: nbgrader's database
- `workers`: a process for each submission; `classes`: everything under `submitted/`, resumable
"""
