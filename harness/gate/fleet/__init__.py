"""Pairs of a gate on the hosts of a fleet: each pair on one host, the pairs of a case on several at once.

`model` is what travels, `member` what runs on a host, `rounds` which host measures what, `places` what a gate sees of
all that.
"""
