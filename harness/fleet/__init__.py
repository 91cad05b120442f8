"""One sweep over many hosts: Dask distributed carries jobs and answers; what to measure and what it means stays here.

`engine` alone imports Dask; `member` is what runs on a worker, `executor` what a sweep hands its jobs to, `transfer`
takes entries of the cache from host to host. A fleet is trusted: Dask runs the code that it is sent.
"""
