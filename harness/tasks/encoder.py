"""Embeddings of a sequence, or of each of its tokens; compared by fidelity."""

from harness.tasks.base import Task

TASK = Task(summary="embeddings of a sequence or of its tokens; measured by fidelity")
