"""What a case would take on a host that is not here: a roofline per node, calibrated on measured rows.

A prediction is shown with its error against what was measured, and is never stored as a measurement.
"""
