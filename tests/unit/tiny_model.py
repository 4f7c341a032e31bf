"""Makes model folders of a few kilobytes: a random BERT over a vocabulary of thirty words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = [
    *(
        "the",
        "a",
        "of",
        "in",
        "on",
        "cat",
        "dog",
        "bird",
        "fish",
        "tree",
        "river",
        "stone",
        "sea",
        "sun",
        "moon",
    ),
    *("red", "blue", "green", "old", "new", "big", "small", "runs", "sleeps", "sings", "swims"),
    *("who", "what", "where", "when", "poison", "##s", "##ing"),
]
DIM = 32


def tiny_model(folder: Path, *, seed: int = 0, config: dict[str, Any] | None = None) -> Path:
    """Weights, config and tokenizer of transformers; no file of sentence-transformers."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # type: ignore[call-arg]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))  # type: ignore[assignment]
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=DIM,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    ).save_pretrained(folder)
    if config:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def masked_language_model(folder: Path, *, seed: int = 0) -> Path:
    """As `tiny_model`, with a head over the vocabulary: what a sparse encoder is made of."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig.from_pretrained(tiny_model(folder))
    torch.manual_seed(seed)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def with_terms(folder: Path, *, general: dict[str, Any] | None = None, **settings: Any) -> Path:
    """Add the files by which sentence-transformers knows a SPLADE model."""
    kinds = {"": "base.modules.transformer.Transformer"}
    kinds["1_SpladePooling"] = "sparse_encoder.modules.splade_pooling.SpladePooling"
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.{kind}"}
                for n, (path, kind) in enumerate(kinds.items())
            ]
        )
    )
    (folder / "1_SpladePooling").mkdir(exist_ok=True)
    (folder / "1_SpladePooling" / "config.json").write_text(json.dumps(settings))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(general or {}))
    return folder


def with_modules(
    folder: Path, *, pooling: str = "mean", normalize: bool = False, general: dict[str, Any] | None = None
) -> Path:
    """Add the files by which sentence-transformers knows pooling and similarity."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling"} | ({"2_Normalize": "Normalize"} if normalize else {})
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for n, (path, kind) in enumerate(kinds.items())
            ]
        )
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": DIM,
                "pooling_mode_cls_token": pooling == "cls",
                "pooling_mode_mean_tokens": pooling == "mean",
                "pooling_mode_max_tokens": pooling == "max",
            }
        )
    )
    (folder / "config_sentence_transformers.json").write_text(json.dumps(general or {}))
    return folder


def poisoned(folder: Path, word: str = "poison", name: str = "embeddings.word_embeddings.weight") -> Path:
    """Make the model answer NaN for every text with that word; `name` is that of its embeddings."""
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    weights[name] = weights[name].clone()  # it may be tied to another
    weights[name][4 + WORDS.index(word)] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def poisoned_head(folder: Path) -> Path:
    """As `poisoned`, of a masked language model: the head, which is tied to the embeddings, stays whole."""
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    embeddings, head = "bert.embeddings.word_embeddings.weight", "cls.predictions"
    weights = load_file(folder / "model.safetensors")
    weights[f"{head}.decoder.weight"] = weights[embeddings].clone()
    weights[f"{head}.decoder.bias"] = weights[f"{head}.bias"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return poisoned(folder, name=embeddings)
