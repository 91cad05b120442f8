"""This project's own small network, trained here in seconds on scikit-learn's handwritten digits.

Two convolutional blocks, pooling, a third block, then one linear layer at each of the 16 places (a MatMul, which
weight-only quantization takes) and a linear classifier: about 4,500 parameters.
"""

from __future__ import annotations

from typing import Any

CHANNELS = 8
HIDDEN = 32
BATCH = 64
EPOCHS = 15
PEAK_LEARNING_RATE = 0.02


def build(*, seed: int = 0, epochs: int = EPOCHS, channels: int = CHANNELS, hidden: int = HIDDEN) -> Any:
    """A trained network, float32 [batch, 1, 8, 8] in 0..1 to float32 [batch, 10] logits.

    Deterministic: one thread, one seed, always the same 1347 training digits. The 450 held-out ones are never seen.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    import torch

    from harness.data.digits import split

    images, labels = (torch.from_numpy(array) for array in split()[:2])
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = _network(channels, hidden)
    steps = epochs * -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _network(channels: int, hidden: int) -> Any:
    import torch
    from torch import nn

    def block(inputs: int, outputs: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    class DigitsCnn(nn.Module):  # type: ignore[misc]  # torch is not type-checked here
        def __init__(self) -> None:
            super().__init__()
            wide = 2 * channels
            self.features = nn.Sequential(block(1, channels), block(channels, wide), nn.MaxPool2d(2), block(wide, wide))
            self.places = nn.Linear(wide, hidden)
            self.classifier = nn.Linear(hidden, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            rows = self.features(image).flatten(2).transpose(1, 2)
            return self.classifier(torch.relu(self.places(rows))).mean(dim=1)

    return DigitsCnn()
