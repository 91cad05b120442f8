"""Boxes and scores of objects in images; compared by fidelity."""

from harness.tasks.base import Task

TASK = Task(summary="objects in an image: boxes and their scores; measured by fidelity")
