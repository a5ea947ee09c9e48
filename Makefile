# Each target hands over to tasks.py, which also runs without make.
TASKS := env book html test test-all lab grade bench check clean

# The first Python that fits; `make book PYTHON=...` names another.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
endif

.PHONY: help $(TASKS)

help:
	@echo 'make TASK [PORT=8001] [ARGS="..."], TASK being one of: $(TASKS)'

$(TASKS):
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it, as in make $@ PYTHON=/path/to/python3.11" >&2; exit 2; }
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo "There is no $(PYTHON): name a Python 3.11, 3.12 or 3.13, as in make $@ PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) tasks.py $@ $(ARGS)
