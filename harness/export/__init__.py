"""One build, taken out of the cache for whoever ships it.

`choose.py` finds the stored row, and with it the artifact; `bundle.py` writes the folder: the file, how it was
measured, what it was chosen by, sample inputs and what they give. `examples/` has a file per language that uses it.
"""
