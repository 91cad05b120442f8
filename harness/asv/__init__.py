"""What `harness.asv_plugin` and `harness.asv_suite` are made of: asv's own process, and those of its benchmarks.

The two modules keep their names, which stand in asv.conf.json and in the suites of other repositories and of commits
long made. asv's process and a benchmark's may run different versions of this code: they talk through `exchange`.
"""
