"""Proves that a loop over rows finds every row that its windows need, by replaying its steps on row numbers alone.

Line buffers are lists of the rows that are in them. Nothing is taken from the planner but the order of the steps: what
a window needs is read off the calls that the C will make, and so is the place where a row goes.
"""

from __future__ import annotations

from bnncompiler.convolution_calls import Windowed
from bnncompiler.errors import CompileError
from bnncompiler.map_calls import Dropped, Index, PutBits, PutIntegers, PutPooled
from bnncompiler.program import Buffer, Call
from bnncompiler.row_calls import RowLoop, Stage


def check_rows(call: Call, word_bits: int) -> None:
    """Check a loop over rows; nothing to do for other calls.

    Raises:
        CompileError: a stage reads a row that its line buffer does not hold, or not all rows are computed.
    """
    if isinstance(call, RowLoop):
        _Replay(call, word_bits).run()


class _Replay:
    """The rows in each line buffer, step by step."""

    def __init__(self, loop: RowLoop, word_bits: int) -> None:
        self.loop = loop
        self.word_bits = word_bits
        self.done = [0] * len(loop.stages)
        self.rows: dict[Buffer, list[int]] = {b: [] for b in (*loop.lines, loop.y)}
        self.heights = {s.loop.y: -(-s.loop.rows // s.per) for s in loop.stages}

    def run(self) -> None:
        """All steps."""
        for step in self.loop.order.values.tolist():
            stage = self.loop.stages[step]
            for call in stage.loop.inner:
                if isinstance(call, Windowed):
                    self._read(stage, call, self.done[step])
            self._write(stage, self.done[step])
            self.done[step] += 1
        if self.done[-1] != self.loop.stages[-1].loop.rows:
            raise CompileError(f"memory plan: {self.loop.layer} is not computed to its last row")

    def _read(self, stage: Stage, call: Windowed, row: int) -> None:
        """All rows of the map under the window are where the kernel looks for them."""
        x = call.buffers["x"]
        if x not in self.rows:
            return
        before, gone = call.before_h, 0
        if isinstance(before, Dropped):
            gone = self.loop.stages[before.stage].dropped(self.done[before.stage])
            before = before.before
        for i in range(call.kernel_h):
            wanted = row * call.stride_h + i * call.dilation_h - before
            inside = 0 <= wanted < self.heights[x]
            held = 0 <= wanted - gone < call.height
            if inside != held or (inside and self.rows[x][wanted - gone : wanted - gone + 1] != [wanted]):
                raise CompileError(f"memory plan: {stage.loop.layer} needs row {wanted} of {x.name}, which is not held")

    def _write(self, stage: Stage, row: int) -> None:
        """The row goes behind those that are held, after the first was dropped where the buffer is full."""
        y, map_row = stage.loop.y, row // stage.per
        rows, put = self.rows[y], stage.loop.inner[-1]
        assert isinstance(put, PutBits | PutIntegers | PutPooled)
        if stage.slide is not None and row % stage.per == 0 and map_row >= stage.slide.rows:
            del rows[0]
        place = (stage.place(row) if put.row is Index.PLACE else row) // stage.per
        if place == len(rows):
            rows.append(map_row)
        if rows[place : place + 1] != [map_row]:
            raise CompileError(f"memory plan: {stage.loop.layer} writes row {map_row} of {y.name} over another")
        planes = put.planes if isinstance(put, PutBits) else 1
        room = y.count * self.word_bits // planes if y.ctype == "bnn_word" else y.count
        if (place + 1) * put.columns * put.n > room:
            raise CompileError(f"memory plan: {stage.loop.layer} writes row {map_row} behind the end of {y.name}")
