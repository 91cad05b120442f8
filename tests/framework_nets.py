"""Small networks of frameworks that run in an interpreter of their own; each is imported there alone."""

from __future__ import annotations

from typing import Any


def keras_dense() -> Any:
    """One dense layer behind a batch norm, float32 [batch, 6] to [batch, 3]."""
    import sys

    import keras

    sys.stdout.write('{"answer": "printed by the model"}\n')
    return keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)])


def tensorflow_two(factor: float = 2.0) -> Any:
    """A plain function of two inputs with two outputs."""

    def call(first: Any, second: Any) -> Any:
        return {"sum": first + factor * second, "product": first * second}

    return call


def flax_dense(seed: int = 0) -> Any:
    """One dense layer behind a batch norm, float32 [batch, 6] to [batch, 3]."""
    from flax import nnx

    rngs = nnx.Rngs(seed)
    return nnx.Sequential(nnx.BatchNorm(6, rngs=rngs), nnx.Linear(6, 3, rngs=rngs))


def jax_two(factor: float = 2.0) -> Any:
    """A plain function of two inputs."""
    return lambda first, second: first + factor * second
