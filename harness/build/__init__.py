"""From a zoo entry to proven artifacts: cache, digests and pipeline here in the parent, the steps in a child process.

The parent's side (`cache`, `keys`, `options`, `wire`, `pipeline`) never imports a framework. The child's side
(`child`, `maker`, `export`, `fuse`, `cast`, `quantize`, `proof`, `reference`) imports them inside its functions.
"""
