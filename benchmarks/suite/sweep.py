"""asv's suite: `track_latency` and the others, one per metric of `harness.metrics`, over the zoo's cases."""

from harness.asv_suite import benchmarks

globals().update(benchmarks())
