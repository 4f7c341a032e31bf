"""Exports go into sentence-transformers' trainers and losses as they are."""

from __future__ import annotations

import datasets
import pytest
from export_kit import TEXTS, export, small
from tiny_ce import tiny_ce
from tiny_model import tiny_model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("tiny") / "encoder"))


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    return str(tiny_ce(tmp_path_factory.mktemp("tiny") / "reranker", "bert"))


def dataset(folder, subset):
    return datasets.load_dataset(str(folder), subset, split="train", cache_dir=str(folder.parent / "cache"))


def exported(folder, name, **what):
    export(small(folder, integers=True), name, folder / "out", **what)
    return dataset(folder / "out", name)


def trained(model, trainer, arguments, loss, rows, folder):
    """The losses of two steps on rows."""
    arguments = arguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to="none",
        logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    run = trainer(model=model, args=arguments, train_dataset=rows, loss=loss(model))
    run.train()
    return [entry["loss"] for entry in run.state.log_history if "loss" in entry]


def bi_encoder(encoder, loss, rows, folder):
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )

    model = SentenceTransformer(encoder, device="cpu")
    return trained(
        model, SentenceTransformerTrainer, SentenceTransformerTrainingArguments, loss, rows, folder
    )


@pytest.mark.parametrize(("name", "options", "loss"), [
    ("triplet", {}, "MultipleNegativesRankingLoss"),
    ("triplet-hard", {}, "MultipleNegativesRankingLoss"),
    ("n-tuple", {"num-negatives": 2}, "MultipleNegativesRankingLoss"),
    ("n-tuple-scores", {"num-negatives": 2}, "MarginMSELoss"),
    ("margin-mse", {}, "MarginMSELoss"),
    ("margin-mse", {"num-negatives": 2}, "MarginMSELoss"),
    ("kldiv", {"num-negatives": 2}, "DistillKLDivLoss"),
])  # fmt: skip
def test_a_bi_encoder_trains_on_it(tmp_path, encoder, name, options, loss):
    from sentence_transformers.sentence_transformer import losses

    rows = exported(tmp_path, name, options=options)
    found = bi_encoder(encoder, getattr(losses, loss), rows, tmp_path / "model")
    assert len(found) == 2
    assert all(0 <= value < 1000 for value in found)


def test_margin_mse_sees_the_margins_that_were_written(tmp_path, encoder):
    """Its loss is the mean squared difference from the margins of q1 (11) and q2 (1)."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    model = SentenceTransformer(encoder, device="cpu")
    rows = exported(tmp_path, "margin-mse")
    query, positive, negative = (
        model.encode(rows[name], convert_to_tensor=True) for name in ("query", "positive", "negative_1")
    )
    own = (query * positive).sum(1) - (query * negative).sum(1)
    expected = float(((own.cpu().numpy() - [11.0, 1.0]) ** 2).mean())
    model.eval()
    loss = losses.MarginMSELoss(model)
    features = [model.tokenize(list(rows[name])) for name in ("query", "positive", "negative_1")]
    found = loss(features, torch.tensor(rows["label"])).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_cross_encoder_trains_on_labeled_pairs(tmp_path, reranker):
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    model = CrossEncoder(reranker, device="cpu", num_labels=1)
    found = trained(
        model, CrossEncoderTrainer, CrossEncoderTrainingArguments, BinaryCrossEntropyLoss,
        exported(tmp_path, "labeled-pair"), tmp_path / "model",
    )  # fmt: skip
    assert len(found) == 2


def test_a_script_for_the_published_msmarco_runs_with_another_path(tmp_path, encoder):
    """As the MarginMSE example reads it: ids are replaced by texts on the way, the score is the label."""
    from sentence_transformers.sentence_transformer import losses

    export(small(tmp_path, integers=True), "msmarco", tmp_path / "out")
    corpus = dataset(tmp_path / "out", "corpus")
    corpus = dict(zip(corpus["passage_id"], corpus["passage"], strict=True))
    queries = dataset(tmp_path / "out", "queries")
    queries = dict(zip(queries["query_id"], queries["query"], strict=True))
    train = dataset(tmp_path / "out", "bert-ensemble-margin-mse")

    def to_texts(batch):
        return {
            "query": [queries[qid] for qid in batch["query_id"]],
            "positive": [corpus[pid] for pid in batch["positive_id"]],
            "negative": [corpus[pid] for pid in batch["negative_id"]],
            "score": batch["score"],
        }

    train = train.map(to_texts, batched=True, remove_columns=["query_id", "positive_id", "negative_id"])
    train = train.select_columns(["query", "positive", "negative", "score"])
    assert train[0]["negative"] == TEXTS["p5"]
    assert len(bi_encoder(encoder, losses.MarginMSELoss, train, tmp_path / "model")) == 2


def test_lists_of_labels_train_a_listwise_loss(tmp_path, reranker):
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import LambdaLoss

    export(small(tmp_path), "msmarco", tmp_path / "out")
    train = dataset(tmp_path / "out", "labeled-list").map(
        lambda row: {"query": row["query_id"], "docs": [TEXTS[pid] for pid in row["doc_ids"]]}
    )
    model = CrossEncoder(reranker, device="cpu", num_labels=1)
    found = trained(
        model, CrossEncoderTrainer, CrossEncoderTrainingArguments, LambdaLoss,
        train.select_columns(["query", "docs", "labels"]), tmp_path / "model",
    )  # fmt: skip
    assert len(found) == 2
