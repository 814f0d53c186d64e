"""A small character-level transformer, and batches of text for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

CONTEXT = 64  # characters that the model sees
BATCH = 8  # sequences per step: 512 characters
LENGTH_MIN = 2 * CONTEXT * BATCH  # characters of a text


class CharTransformer(nn.Module):
    """About 12.7 million parameters with the default width and depth."""

    def __init__(self, vocabulary: int, width: int = 512, depth: int = 4, heads: int = 8) -> None:
        super().__init__()
        self.character = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(CONTEXT, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """(batch, characters) of indices to (batch, characters, vocabulary) of logits."""
        length = text.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=text.device)
        hidden = self.character(text) + self.position(torch.arange(length, device=text.device))
        return self.head(self.layers(hidden, mask=mask, is_causal=True))


class TextBatches:
    """Batches in a random order that can be saved and continued.

    Python's and NumPy's global generators decide: a resumed run sees the same text only if their
    states were restored too.
    """

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise SystemExit(f"{path} cannot be read ({error.strerror}): give --text") from None
        self.alphabet = sorted(set(text))
        index = {character: i for i, character in enumerate(self.alphabet)}
        self._text = np.array([index[character] for character in text])
        if len(self._text) < LENGTH_MIN:
            raise SystemExit(f"{path} is too short: it needs {LENGTH_MIN} characters")
        self._order: list[int] = []

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(input, target), each (BATCH, CONTEXT), the target one character ahead."""
        if len(self._order) < BATCH:
            starts = np.random.permutation(len(self._text) // CONTEXT - 1) * CONTEXT
            self._order = [int(start) for start in starts]
        shift = random.randrange(CONTEXT - 1)
        starts = [self._order.pop() + shift for _ in range(BATCH)]
        rows = np.stack([self._text[start : start + CONTEXT + 1] for start in starts])
        batch = torch.from_numpy(rows)
        return batch[:, :-1], batch[:, 1:]

    def state_dict(self) -> dict[str, Any]:
        return {"order": list(self._order)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order = list(state["order"])
