"""Scripts that each measure one promise, and tests of hot paths, see README.md; asv's suite is the folder `suite`."""
