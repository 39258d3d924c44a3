"""Sequences to sequences: an encoder and a decoder, what they are trained on, what they write, how it is judged."""

from polytask.seq2seq.bleu import bleu, bleu_counts, resampled_bleu
from polytask.seq2seq.corruption import Corrupted, corrupt
from polytask.seq2seq.edits import Edit, edits, f_score
from polytask.seq2seq.encoder_decoder import Copying, EncoderDecoder, Memory
from polytask.seq2seq.ids import BEGIN, END, FIRST_ID, PADDING, UNKNOWN, begun, padded_ids
from polytask.seq2seq.losses import TokenLosses, dual_penalty, teacher_forced
from polytask.seq2seq.search import Found, beam_search

__all__ = [
    "BEGIN",
    "END",
    "FIRST_ID",
    "PADDING",
    "UNKNOWN",
    "Copying",
    "Corrupted",
    "Edit",
    "EncoderDecoder",
    "Found",
    "Memory",
    "TokenLosses",
    "beam_search",
    "begun",
    "bleu",
    "bleu_counts",
    "corrupt",
    "dual_penalty",
    "edits",
    "f_score",
    "padded_ids",
    "resampled_bleu",
    "teacher_forced",
]
