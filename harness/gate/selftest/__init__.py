"""The false-alarm rate and power of the gate on this host."""
