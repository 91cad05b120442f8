"""Where calibration and evaluation examples come from: one module per data set.

Every module here has `examples(request, split)`, which yields `base.Row`s (or whole `base.Example`s) one at a time, and
`digest(request)`, which names what the examples depend on. `harness.data.base` says more. Nothing is held
in memory as a whole, and the calibration and the evaluation examples are never the same.
"""
