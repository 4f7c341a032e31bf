"""Makes cross-encoder folders of a few kilobytes: random weights, tokenizers trained on a few sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SENTENCES = [
    "The moon pulls the water nearest to it, and so the sea rises twice a day.",
    "Rivers carry minerals to the sea; where do they stay behind as salt?",
    "Dew settles on grass that has given off its warmth to the night sky.",
    "It's 1 o'clock. We'll see 23 birds — or so they said!\n\nNobody knew why.",
    "Judge whether the Document meets the requirements: <Query>: <Document>: yes no",
]
POSITIONS = 96
# How Qwen's tokenizers cut text before byte pairs are merged (tokenizer.json of Qwen2 and Qwen3).
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = {
    "prefix": "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n<Query>: ",
    "between": "\n<Document>: ",
    "suffix": "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
}


def tiny_ce(folder: Path, style: str, *, seed: int = 0, labels: int = 1, max_length: int = POSITIONS) -> Path:
    """A folder of transformers. `style`: bert, roberta, modernbert or qwen."""
    import torch
    from transformers import PreTrainedTokenizerFast

    made, special = _TOKENIZERS[style]()
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if style == "bert" else [])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=max_length, model_input_names=names, **special
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    pad = tokenizer.pad_token_id
    model = _MODELS[style](made.get_vocab_size(), pad, labels)
    with torch.no_grad():  # a fresh model's logits are all but equal: spread them
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)
    return folder


def _bert_tokenizer() -> tuple[Any, dict[str, str]]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made: Any = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made, {
        "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
    }  # fmt: skip


def _byte_level(special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made: Any = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet)
    return made, trainer


def _roberta_tokenizer() -> tuple[Any, dict[str, str]]:
    from tokenizers import processors

    made, trainer = _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    made.train_from_iterator(SENTENCES, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made, {
        "bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>",
        "eos_token": "</s>", "unk_token": "<unk>",
    }  # fmt: skip


def _modernbert_tokenizer() -> tuple[Any, dict[str, str]]:
    from tokenizers import processors

    made, trainer = _byte_level(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    made.train_from_iterator(SENTENCES, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return made, {
        "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
    }  # fmt: skip


def _qwen_tokenizer() -> tuple[Any, dict[str, str]]:
    from tokenizers import Regex, normalizers, pre_tokenizers

    made, trainer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.train_from_iterator(SENTENCES * 3 + ["yes\nno\nyes?\nno?\n"] * 9, trainer)
    made.add_tokens(["<think>", "</think>", "yes", "no"])
    return made, {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}


def _bert(size: int, pad: int, labels: int) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(**_shape(size, pad, labels), max_position_embeddings=POSITIONS)
    )


def _roberta(size: int, pad: int, labels: int) -> Any:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    shape = _shape(size, pad, labels)
    return RobertaForSequenceClassification(
        RobertaConfig(**shape, max_position_embeddings=POSITIONS + pad + 1, type_vocab_size=1)
    )


def _modernbert(size: int, pad: int, labels: int) -> Any:
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    return ModernBertForSequenceClassification(
        ModernBertConfig(
            **_shape(size, pad, labels), max_position_embeddings=POSITIONS, local_attention=16,
            cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
        )
    )  # fmt: skip


def _qwen(size: int, pad: int, labels: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = _shape(size, pad, 1)
    del shape["num_labels"]
    return Qwen3ForCausalLM(
        Qwen3Config(**shape, num_key_value_heads=2, head_dim=8, max_position_embeddings=POSITIONS)
    )


def _shape(size: int, pad: int, labels: int) -> dict[str, Any]:
    return {
        "vocab_size": size, "pad_token_id": pad, "num_labels": labels, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    }  # fmt: skip


_TOKENIZERS = {
    "bert": _bert_tokenizer,
    "roberta": _roberta_tokenizer,
    "modernbert": _modernbert_tokenizer,
    "qwen": _qwen_tokenizer,
}
_MODELS = {"bert": _bert, "roberta": _roberta, "modernbert": _modernbert, "qwen": _qwen}
