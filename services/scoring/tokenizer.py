"""Query and passage to token ids apart, so that each text is tokenised once whatever it is paired with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.cross_encoders.cross_encoder import Template
from services.cross_encoders.model_folder import OwnSettings
from services.cross_encoders.profile import Profile
from services.errors import InputError, first_line
from services.models.tokenizer import load_tokenizer
from services.scoring.layout import Layout, Segment
from services.scoring.ragged import Index, Ragged
from services.store import fingerprint

_PROBES = ("", " ", "a", "What is it?\n", "  two words ", "1 'S", "\n\nx", "é\u0301 ", "<a>")


class PairTokenizer:
    """The tokenizer of a cross-encoder.

    Attributes:
        layout: How ids of a query and a passage are joined.
        fingerprint: Of all that decides a text's ids.
    """

    def __init__(self, folder: Path, own: OwnSettings, profile: Profile) -> None:
        tokenizer = load_tokenizer(folder / own.transformer, lowercase=own.lowercase)
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        seams = _Seams.of(profile.template)
        self._seams = seams
        self.layout = (
            self._learned(tokenizer, folder, profile.max_length)
            if profile.template is None
            else self._of_template(tokenizer, folder, seams, profile.max_length)
        )
        self.fingerprint = fingerprint([self._backend.to_str(), seams.around, profile.max_length])
        self._require_equal(tokenizer, folder, profile)

    def queries(self, texts: Sequence[str]) -> Ragged:
        """Ids of queries, special tokens left out."""
        return self._ids(texts, *self._seams.around[0])

    def passages(self, texts: Sequence[str]) -> Ragged:
        """Ids of passages, special tokens left out."""
        return self._ids(texts, *self._seams.around[1])

    def token(self, text: str) -> int:
        """The one token that a word is; InputError where it is none or several."""
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if len(ids) != 1:
            raise InputError(
                f"the tokenizer makes {len(ids)} tokens of '{text}' instead of one",
                hint="choose other words for yes and no in the template",
            )
        return int(ids[0])

    def _ids(self, texts: Sequence[str], before: str, after: str) -> Ragged:
        whole = [f"{before}{text}{after}" for text in texts] if before or after else list(texts)
        try:
            rows = [one.ids for one in self._backend.encode_batch_fast(whole, add_special_tokens=False)]
        except (TypeError, ValueError) as error:  # half a character: a lone surrogate
            raise InputError(f"a text cannot be tokenised: {first_line(error)}") from error
        return Ragged.of(rows, self.layout.max_length)

    # -- what a pair looks like --------------------------------------------------------------------

    def _learned(self, tokenizer: Any, folder: Path, max_length: int) -> Layout:
        """Special tokens and types as the tokenizer itself puts them around a pair."""
        pair = self._backend.encode("a", "a", add_special_tokens=True)
        of = np.array([-1 if n is None else n for n in pair.sequence_ids])
        ids, types = np.array(pair.ids, np.int32), np.array(pair.type_ids, np.int32)
        first, second = np.flatnonzero(of == 0), np.flatnonzero(of == 1)
        if not len(first) or not len(second):
            raise _cannot(folder, "it makes no token of a letter")
        cuts = (0, first[0]), (first[-1] + 1, second[0]), (second[-1] + 1, len(ids))
        prefix, middle, suffix = (Segment(ids[lo:hi], types[lo:hi]) for lo, hi in cuts)
        if tokenizer.truncation_side != "right":
            raise _cannot(folder, f"it cuts texts on the {tokenizer.truncation_side}")
        return _roomy(
            folder,
            Layout(
                prefix,
                middle,
                suffix,
                max_length=max_length,
                pad=int(tokenizer.pad_token_id or 0),
                query_type=int(types[first[0]]),
                passage_type=int(types[second[0]]),
                has_types="token_type_ids" in tokenizer.model_input_names,
            ),
        )

    def _of_template(self, tokenizer: Any, folder: Path, seams: _Seams, max_length: int) -> Layout:
        def segment(text: str) -> Segment:
            ids = np.array(self._backend.encode(text, add_special_tokens=False).ids, np.int32)
            return Segment(ids, np.zeros_like(ids))

        prefix, middle, suffix = map(segment, seams.fixed)
        pad = int(tokenizer.pad_token_id or 0)
        layout = Layout(prefix, middle, suffix, max_length, pad, cut_end=True, pad_left=True)
        return _roomy(folder, layout)

    def _require_equal(self, tokenizer: Any, folder: Path, profile: Profile) -> None:
        """See that our rows are those that the tokenizer makes of whole pairs."""
        long = "word " * profile.max_length
        probes = [(a, b) for a in _PROBES for b in _PROBES] + [(long, "a b"), ("a b", long), (long, long)]
        queries, passages = self.queries([a for a, _ in probes]), self.passages([b for _, b in probes])
        for n, (query, passage) in enumerate(probes):
            at = np.array([n], np.int64)
            ours = self.row(queries, passages, at)
            theirs = self._whole(tokenizer, profile, query, passage)
            if ours != theirs:
                raise _cannot(folder, f"it makes other tokens of the pair ({query[:20]!r}, {passage[:20]!r})")

    def row(self, queries: Ragged, passages: Ragged, at: Index) -> list[int]:
        """The ids of one pair, text `at` of both."""
        layout = self.layout
        lengths = layout.truncated(queries.lengths[at], passages.lengths[at])
        width = int(layout.totals(lengths)[0])
        ids: list[int] = layout.rows(queries, passages, at, at, lengths, 1, width)[0][0].tolist()
        return ids

    def _whole(self, tokenizer: Any, profile: Profile, query: str, passage: str) -> list[int]:
        if profile.template is None:
            found: list[int] = tokenizer(
                [[query, passage]], truncation="longest_first", max_length=profile.max_length
            )["input_ids"][0]
            self._backend.no_truncation()
            return found
        template = profile.template
        whole = f"{template.prefix}{query}{template.between}{passage}{template.suffix}"
        ids: list[int] = self._backend.encode(whole, add_special_tokens=False).ids
        tail = self.layout.suffix.ids.tolist()
        return ids[: profile.max_length - len(tail)] + tail if len(ids) > profile.max_length else ids


class _Seams:
    """A template cut where no token can reach across: white space at a seam belongs to the text beside it.

    Byte-pair tokenizers of language models put a space before a word into the word's token, and line ends
    into the token of the punctuation before them.

    Attributes:
        fixed: Prefix, middle and suffix without the white space at their seams.
        around: What is put before and after a query, and before and after a passage.
    """

    def __init__(self, fixed: tuple[str, str, str], around: tuple[tuple[str, str], tuple[str, str]]) -> None:
        self.fixed = fixed
        self.around = around

    @classmethod
    def of(cls, template: Template | None) -> _Seams:
        if template is None:
            return cls(("", "", ""), (("", ""), ("", "")))
        prefix, between, suffix = template.prefix.rstrip(), template.between.strip(), template.suffix.lstrip()
        lead = len(template.between) - len(template.between.lstrip())
        return cls(
            (prefix, between, suffix),
            (
                (template.prefix[len(prefix) :], template.between[:lead]),
                (
                    template.between[lead + len(between) :],
                    template.suffix[: len(template.suffix) - len(suffix)],
                ),
            ),
        )


def _roomy(folder: Path, layout: Layout) -> Layout:
    if layout.room < 2:
        raise InputError(
            f"{folder}: max-length {layout.max_length} leaves no room for texts beside the special tokens",
            hint="state a greater --max-length",
        )
    return layout


def _cannot(folder: Path, why: str) -> InputError:
    return InputError(
        f"{folder}: the tokenizer's pairs cannot be put together from its texts: {why}",
        hint="this cross-encoder is not supported",
    )
