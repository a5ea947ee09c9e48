"""Helpers of tasks.py: standard library only, parsed by Pythons too old to run them."""
