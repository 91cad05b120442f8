"""Workers on another machine, a board or a phone: the same protocol, with files sent there and fetched back.

`relay.py` is the worker that harness starts here. It carries the real one to the device through a `Transport`, sends
what a request names, and passes requests and replies on.
"""
