"""Bits into words and tails, and back."""

from __future__ import annotations

import numpy as np
import pytest

from bnncompiler.packing import TAIL_CODE, pack_rows, tail_bits, tails_save, unpack_rows


@pytest.mark.parametrize("word_bits", [8, 16, 32, 64])
def test_rows_come_back_from_words_and_tails(word_bits: int) -> None:
    rng = np.random.default_rng(word_bits)
    for count in range(1, 3 * word_bits):
        bits = rng.integers(0, 2, (7, count))
        packed, tails = pack_rows(bits, word_bits)
        np.testing.assert_array_equal(unpack_rows(packed, tails, count, word_bits), bits)
        tail = tail_bits(count, word_bits)
        assert (len(tails) > 0) == (tail > 0)
        whole = 7 * -(-count // word_bits) * word_bits // 8
        assert packed.nbytes + tails.nbytes == whole - (7 * (word_bits - tail) // 8 if tail else 0)


def test_tails_are_the_smallest_integers_below_a_word() -> None:
    assert [tail_bits(9, word_bits) for word_bits in (8, 16, 32, 64)] == [0, 0, 16, 16]
    assert [tail_bits(count, 64) for count in (1, 8, 9, 17, 32, 33, 64, 65, 72, 80, 90)] == [
        *(8, 8, 16, 32, 32, 0, 0, 8, 8, 16, 32),
    ]


def test_tails_that_save_less_than_their_code_are_not_worth_it() -> None:
    assert tails_save(31, 9, 32) == 0
    assert tails_save(32, 9, 32) == 64 == TAIL_CODE
