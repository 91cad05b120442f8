"""What copying takes where values lie on a device: a batch's inputs to it, and its outputs back.

Inferences are timed on what lies there already, so that none of this is in a latency. A file that stands alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from harness import ort_values
    from harness.runtimes import protocol
else:
    import ort_values
    import protocol


class Transfers:
    """Of the batches that are bound; of none where everything lies in the host's memory.

    Args:
        device: what onnxruntime calls where bound inputs lie.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.inputs: dict[int, list[tuple[Any, Any]]] = {}
        self.next = 0

    def keep(self, number: int, value: Any, array: Any, kind: str) -> None:
        """Remember a bound input.

        Args:
            number: of the batch.
            value: onnxruntime's, which is bound.
            array: the same in the host's memory.
            kind: onnxruntime's name of its type; of one that NumPy lacks, values are bound in the host's memory.
        """
        if self.device != "cpu" and kind in ort_values.NUMBERS:
            self.inputs.setdefault(number, []).append((value, array))

    def timed(self, n: int, bindings: list[Any], ran: Iterable[int], outputs: list[bool]) -> list[int]:
        """Nanoseconds of each of n copies of a batch's inputs to the device and of its outputs back, batch by batch.

        Inputs are written into the memory that the session reads, outputs into memory of their own, as whoever calls
        `IOBinding` from NumPy arrays gets them.

        Args:
            n: how many.
            bindings: of the batches.
            ran: the batches that have outputs.
            outputs: for each output, whether it is written to the device.

        Returns:
            Nothing where nothing is copied.

        Raises:
            Refused: no batch has outputs yet.
        """
        if self.device == "cpu" or not (self.inputs or any(outputs)):
            return []
        places = sorted(ran)
        if not places:
            raise protocol.Refused("input", "nothing has run yet: there are no outputs to copy")
        clock, found = time.perf_counter_ns, []
        for number in range(self.next, self.next + n):
            place = places[number % len(places)]
            binding, copied = bindings[place], self.inputs.get(place, [])
            results = [one for one, there in zip(binding.get_outputs(), outputs) if there]
            start = clock()
            for value, array in copied:
                value.update_inplace(array)
            binding.synchronize_inputs()
            kept = [one.numpy() for one in results]
            found.append(clock() - start)
            del kept
        self.next += n
        return found
