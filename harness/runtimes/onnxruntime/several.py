"""Several sessions in one process: with threads and memory of their own, or with one pool and one arena for all.

A file that stands alone: standard library only, but for `protocol`, which the worker has loaded by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runtimes import protocol
else:
    import protocol

pool: dict[str, int] = {}
"""The threads of the pool that all sessions of this process share; empty where each has its own."""


def share(ort: Any, options: Any, threads: dict[str, int]) -> None:
    """Let the sessions that are made with these options take the process's one pool of threads and one arena.

    Both are made once. onnxruntime then lets no session of the process have threads of its own.

    Raises:
        Refused: this onnxruntime has no such pool in Python, or the process has another one.
    """
    if not hasattr(ort, "set_global_thread_pool_sizes"):
        why = f"onnxruntime {ort.__version__} sets up no pool of threads that sessions share from Python; newer ones do"
        raise protocol.Refused("not_implemented", why)
    asked = {"intra": threads["intra"], "inter": threads["inter"]}
    if not pool:
        ort.set_global_thread_pool_sizes(asked["intra"], asked["inter"])
        arena = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(arena, None)
        pool.update(asked)
    if pool != asked:
        raise protocol.Refused("runtime", f"the threads that this process shares are {pool}, and not {asked}")
    options.use_per_session_threads = False
    options.add_session_config_entry("session.use_env_allocators", "1")


def small(options: Any) -> None:
    """Options of a session on one thread of its own; where threads are shared, of the one that is the pool.

    Raises:
        Refused: the pool has more than one.
    """
    if not pool:
        return
    if pool["intra"] != 1:
        why = "sessions of this process share several threads, so that nothing else runs on one"
        raise protocol.Refused("not_implemented", why)
    options.use_per_session_threads = False


def notes(sessions: int, shared: bool) -> list[str]:
    """What must be known of the numbers."""
    if sessions == 1:
        return []
    how = "one pool of threads and one arena for all" if shared else "each with threads and an arena of its own"
    return [f"{sessions} sessions in one process, {how}: session creation and memory are of all of them"]
