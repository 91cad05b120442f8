"""Timing in worker processes: the coordinator starts, paces and reaps them, and never times anything itself."""
