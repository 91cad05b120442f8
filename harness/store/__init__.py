"""Keeping what was measured: every sample as Parquet, the history as asv's files, and the way back to rows."""
