"""Widths of hidden fixed-point values: how many bits are worth having.

An integer has 16 bits in memory or 32, so there are two sensible widths. A deep residual network wants the wide one: a
sign that falls the other way than in onnxruntime moves all sums of the next layer, and a few layers on the networks
have nothing in common. How often that happens is decided by the stream's step beside float32's own rounding of it,
which near a threshold is far below 2**-24 of the stream's range: with 24 bits the step dominates, from 26 on it does
not. Sums of a few streams must fit 32 bits, too, which leaves 28.

Microcontrollers take the narrow one where nothing else is said. Of the networks in the corpus with streams, 16 bits
take 15 % less RAM and 17 % less flash than 28 in the median, and up to 47 %, add in 32 bits instead of 64, and choose
another class in one of thousands of samples.
"""

from __future__ import annotations

PRECISE = 28
COMPACT = 16  # at most this is asked for where memory counts more: then sums have 32 bits, too, not 64
