"""Of long texts only the beginning is tokenised, as far as the model reads, with the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import tiny_model, with_modules

from services.encoding.encoder import Encoder, load_encoder
from services.inference.runners import HEAD, EncoderRunner, head
from services.settings import Settings
from services.store import Store
from services.systems.models import add, required
from services.systems.registry import Registry

LENGTH = 16
MOST = HEAD * LENGTH


@pytest.fixture
def encoder_and_runner(tmp_path: Path) -> tuple[Encoder, EncoderRunner]:
    store = Store(str(tmp_path / "store"))
    folder = with_modules(tiny_model(tmp_path / "model"))
    add(store, "tiny", str(folder), pooling="mean", similarity="cosine", max_length=LENGTH)
    system = Registry.load(store).get("tiny")
    encoder = load_encoder(store, system, Settings(home=tmp_path, device="cpu", threads=1))
    return encoder, EncoderRunner(encoder, required(store, system))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("the cat sleeps", True),
        ("the cat sleeps " * 10_000, False),
        ("x" * (MOST - 10) + " the cat sleeps" * 100, True),  # its head is two tokens: one more is [UNK]
        (" " * MOST + "the cat sleeps", True),
        ("x" * 10 * MOST, True),
    ],
)
def test_tokens_are_those_of_the_whole_text_and_no_more_is_read_than_is_needed(
    encoder_and_runner: tuple[Encoder, EncoderRunner],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    whole: bool,
) -> None:
    encoder, runner = encoder_and_runner
    tokenizer = encoder.engine.tokenizer
    expected, ids = tokenizer.ids([text])[0], tokenizer.ids
    read: list[int] = []

    def reading(texts: list[str]) -> list[list[int]]:
        read.extend(map(len, texts))
        return ids(texts)

    monkeypatch.setattr(tokenizer, "ids", reading)
    (piece,) = runner.pieces([text], "passage")
    assert piece.payload == expected
    assert (max(read) == len(text)) is whole
    assert whole or max(read) <= MOST


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ab cd", "ab cd"), ("ab cd ef", "ab"), ("ab  cde", "ab"), ("abcdefgh", "abcdefgh"), (" " * 9, " " * 9)],
)
def test_a_head_of_five_characters_ends_before_white_space(text: str, expected: str) -> None:
    assert head(text, 5) == expected
