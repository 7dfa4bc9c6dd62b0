"""Widths of hidden fixed-point values: how many bits are worth having.

An integer has 16 bits in memory or 32, so there are two sensible widths. A deep residual network wants the wide one: a
sign that falls the other way than in onnxruntime moves all sums of the next layer, and a few layers on the networks
have nothing in common. How often that happens is decided by the stream's step beside float32's own rounding of it,
which near a threshold is far below 2**-24 of the stream's range: with 24 bits the step dominates, from 26 on it does
not. Sums of a few streams must fit 32 bits, too, which leaves 28.

Microcontrollers take the narrow one where nothing else is said. Over the corpus, 51 networks come out in other sizes
with it: with 43 % less RAM in the median and 52 % at most, and up to 47 % less flash; and sums have 32 bits, not 64. Of
3,520 samples whose class hangs on no tie, 13 get another class than from onnxruntime, with 28 bits 2.
"""

from __future__ import annotations

PRECISE = 28
COMPACT = 16  # at most this is asked for where memory counts more: then sums have 32 bits, too, not 64
