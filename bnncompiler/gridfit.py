"""Which integers a set of floats came from: the affine grid ``real = scale * q + offset`` behind preprocessed samples.

Pixels that went through ``(u8 / 255 - mean) / std`` are floats, but at most 256 different ones, evenly spaced up to
float32 rounding. The spacing is the smallest gap that all other gaps are multiples of. Where that leaves a choice, a
conventional grid (``q / 255``, ``q / 127.5 - 1``, ...) is taken, then one with 0 on it, then one with short decimals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array

LEVELS = 256
NOISY = 64  # different floats that one level may have become, at most, on ways that rounded differently
AT_ONCE = 1 << 20  # values looked at together: most data show in the first of these that they have no grid
CHANNELS = 16  # more channels than this are features, not colours, and do not get a grid each
_SPAN = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767)}
# What preprocessing usually is; the first that explains the data is taken.
_CONVENTIONAL = (
    ("uint8", 1.0, 0.0, "q"),
    ("int8", 1.0, 0.0, "q"),
    ("uint8", 1 / 255, 0.0, "q/255"),
    ("uint8", 1 / 127.5, -1.0, "q/127.5 - 1"),
    ("uint8", 1 / 256, 0.0, "q/256"),
    ("int8", 1 / 128, 0.0, "q/128"),
    ("int8", 1 / 127, 0.0, "q/127"),
)


@dataclass(frozen=True)
class Fit:
    """A grid that explains the data; ``scale`` and ``offset`` by channel, ``text`` says it in words."""

    ctype: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    lo: int
    hi: int
    text: str


def span(ctype: str) -> tuple[int, int]:
    """The smallest and the largest value of an integer type."""
    return _SPAN[ctype]


def fit(values: Array) -> Fit | None:
    """The grid of at most 256 levels that ``values [samples, ..., channels]`` lie on, or None.

    All values share one grid, or each channel (of at most 16) has its own, as after a normalisation by channel.
    """
    tolerance = _tolerance(values)
    levels = _levels(values, tolerance)
    if levels is not None:
        return _one_grid(levels, tolerance)
    channels = values.shape[-1]
    if values.ndim < 3 or not 2 <= channels <= CHANNELS:
        return None
    columns = [_levels(values[..., c], tolerance) for c in range(channels)]
    grids = [None if u is None else _one_grid(u, tolerance) for u in columns]
    found = [g for g in grids if g is not None and g.ctype == "uint8" and (g.lo, g.hi) == _SPAN["uint8"]]
    if len(found) < channels:
        return None
    scale, offset = (tuple(v for g in found for v in getattr(g, f)) for f in ("scale", "offset"))
    return Fit("uint8", scale, offset, 0, 255, "by channel: " + ", ".join(g.text for g in found))


def wide(values: Array, limit: int) -> Fit:
    """A grid of ``|q| <= limit`` for any other data, in steps of a power of two: float32 holds these exactly."""
    largest = float(np.abs(values).max(initial=0)) or 1.0
    exponent = int(np.ceil(np.log2(largest / limit)))
    ctype = "int8" if limit <= _SPAN["int8"][1] else "int16"
    return Fit(ctype, (2.0**exponent,), (0.0,), -limit, limit, f"q * 2^{exponent} for q from {-limit} to {limit}")


def _tolerance(values: Array) -> float:
    """How far rounding may have moved a value: four units in the last place of the largest, half a one in float16."""
    unit = 2.0**-11 if values.dtype == np.float16 else 4 * 2.0**-23
    return unit * float(np.abs(values).max(initial=0))


def _levels(values: Array, tolerance: float) -> Array | None:
    """The different values, ascending; those that rounding alone separates count once. None if they are too many."""
    flat, levels = values.reshape(-1), np.empty(0)
    for start in range(0, flat.size, AT_ONCE):
        levels = np.unique(np.concatenate([levels, flat[start : start + AT_ONCE].astype(np.float64)]))
        if len(levels) > NOISY * LEVELS:
            return None
    if not len(levels):
        return None
    first = np.concatenate([[True], np.diff(levels) > tolerance])
    group = np.cumsum(first) - 1
    if group[-1] >= LEVELS:
        return None
    return np.asarray(np.bincount(group, levels) / np.bincount(group))


def _one_grid(levels: Array, tolerance: float) -> Fit | None:
    if set(levels) in ({-1.0, 1.0}, {0.0, 1.0}):
        return _two_levels(levels)
    for ctype, scale, offset, text in _CONVENTIONAL:
        if _explains(levels, tolerance, ctype, scale, offset):
            return Fit(ctype, (scale,), (offset,), *_SPAN[ctype], text)
    if len(levels) == 2:
        return _two_levels(levels)
    step = _step(levels, tolerance)
    if step is None or (levels[-1] - levels[0]) / step > LEVELS - 0.5:
        return None
    ctype, offset = _place(levels, step, tolerance)
    scale, offset, text = _decimals(levels, tolerance, ctype, step, offset)
    if not _explains(levels, tolerance, ctype, scale, offset):
        return None
    return Fit(ctype, (scale,), (offset,), *_SPAN[ctype], text)


def _two_levels(levels: Array) -> Fit:
    low, high = float(levels[0]), float(levels[1])
    return Fit("uint8", (high - low,), (low,), 0, 1, f"{low:.6g} for 0 and {high:.6g} for 1")


def _explains(levels: Array, tolerance: float, ctype: str, scale: float, offset: float) -> bool:
    """Whether every level is a point of the grid, up to rounding."""
    lo, hi = _SPAN[ctype]
    q = np.rint((levels - offset) / scale)
    off = np.abs(levels - (scale * q + offset))
    return bool(q[0] >= lo and q[-1] <= hi and (off <= min(tolerance, scale / 8)).all())


def _step(levels: Array, tolerance: float) -> float | None:
    """The largest spacing that all gaps are multiples of, refined over the whole range."""
    gaps = np.sort(np.diff(levels))
    for divisor in range(1, LEVELS if len(gaps) else 1):
        guess = gaps[0] / divisor
        if guess < 8 * tolerance:
            return None
        steps = _count(gaps, guess)
        step = (levels[-1] - levels[0]) / steps
        q = np.rint((levels - levels[0]) / step)
        if steps < LEVELS and (np.abs(levels - (levels[0] + step * q)) <= 2 * tolerance).all():
            return float(step)
    return None


def _count(gaps: Array, guess: float) -> int:
    """How many steps all gaps (ascending) have together; each gap refines the guess for the longer ones behind it."""
    length, steps = guess, 1
    for gap in gaps:
        steps += max(1, round(gap / (length / steps)))
        length += gap
    return steps - 1


def _place(levels: Array, step: float, tolerance: float) -> tuple[str, float]:
    """Where ``q = 0`` lies: at real 0 where the grid has it, at -127.5 steps where it can be, else at the minimum."""
    for ctype, offset in (("uint8", 0.0), ("int8", 0.0), ("uint8", -127.5 * step)):
        if _explains(levels, tolerance, ctype, step, offset):
            return ctype, offset
    return "uint8", float(levels[0])


def _decimals(levels: Array, tolerance: float, ctype: str, step: float, offset: float) -> tuple[float, float, str]:
    """The grid with the shortest decimals that explain the data, as they were probably written.

    Data that don't use the whole range leave open which pixel their smallest value is: the shortest mean decides.
    """
    if ctype == "uint8" and offset != 0:
        std = 1 / (255 * step)
        unused = int(np.ceil(256 - (levels[-1] - offset) / step)) if offset == levels[0] else 1
        for digits in range(1, 5):
            for shift in range(unused):
                s, m = round(std, digits), round(-offset * std + shift / 255, digits)
                if s > 0 and _explains(levels, tolerance, ctype, 1 / 255 / s, -m / s):
                    return 1 / 255 / s, -m / s, f"(q/255 - {m:g})/{s:g}" if s != 1 else f"q/255 - {m:g}"
        return step, offset, f"q*{step:.7g} {'-' if offset < 0 else '+'} {abs(offset):.7g}"
    for denominator in [2**k for k in range(1, 25)]:
        if abs(step * denominator - 1) < 1e-3 and _explains(levels, tolerance, ctype, 1 / denominator, 0.0):
            return 1 / denominator, 0.0, f"q/{denominator}"
    return step, offset, f"q*{step:.7g}"
