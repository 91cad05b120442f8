"""Bad luck and bad files on purpose: `python -m tests.faults.kill`, `python -m tests.faults.fuzz`, and short versions
of both that every run of the tests has.
"""
