"""Chains of libavfilter audio filters over blocks of samples, in double precision.

Belongs here: numpy in, numpy out, and the resampler with its exact sample count. Does not belong here: what is
measured or encoded from the samples.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from processing.sound.layouts import Samples

# Double precision inside: in float the result differs in its last bits from one SIMD level to the next.
RESAMPLE_OPTIONS = "internal_sample_fmt=dblp:osf=dblp"


class FilterChain:
    """A chain of filters on doubles of `channels` channels at `rate_hz`, on one thread.

    Each channel has a mono chain of its own, for filters ask what a channel is called: `biquad` passes a channel
    without a name through untouched, without a word.
    """

    def __init__(self, rate_hz: int, channels: int, filters: tuple[tuple[str, str], ...]) -> None:
        self._rate_hz = rate_hz
        self._pushed = 0
        self._graphs = [_mono_graph(rate_hz, filters) for _ in range(channels)]

    def push(self, samples: Samples) -> Samples:
        """Feed a block, shape (channels, samples), and return what comes out: same shape, any length."""
        if samples.shape[1] == 0:
            return np.zeros((len(self._graphs), 0))
        fed = [
            self._fed(graph, np.ascontiguousarray(channel).reshape(1, -1))
            for graph, channel in zip(self._graphs, samples, strict=True)
        ]
        self._pushed += samples.shape[1]
        return np.concatenate(fed)

    def finish(self) -> Samples:
        """Return what the filters still hold; the chain cannot be fed afterwards."""
        for graph in self._graphs:
            graph.push(None)
        return np.concatenate([_drained(graph) for graph in self._graphs])

    def _fed(self, graph: Graph, channel: Samples) -> Samples:
        frame = av.AudioFrame.from_ndarray(channel, format="dblp", layout="mono")
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._pushed
        graph.push(frame)
        return _drained(graph)


def _mono_graph(rate_hz: int, filters: tuple[tuple[str, str], ...]) -> Graph:
    graph = Graph()
    graph.threads = 1
    last = graph.add("abuffer", f"sample_rate={rate_hz}:sample_fmt=dblp:channel_layout=mono:time_base=1/{rate_hz}")
    for name, arguments in filters:
        following = graph.add(name, arguments)
        last.link_to(following)
        last = following
    last.link_to(graph.add("abuffersink"))
    graph.configure()
    return graph


def _drained(graph: Graph) -> Samples:
    """All that a mono graph has to give now, shape (1, samples)."""
    pieces = [np.zeros((1, 0))]
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return np.concatenate(pieces, axis=1)
        if isinstance(frame, av.AudioFrame):
            pieces.append(frame.to_ndarray().astype(np.float64, copy=False))


class Resampler:
    """Changes the rate of a stream of blocks; sample 0 of the output lies on sample 0 of the input.

    Over its whole life it gives exactly `round(samples in * rate_out / rate_in)` samples, halves up, at least one
    if there was any: what the filter's tail lacks is silence, what it has too much is cut.
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int, channels: int) -> None:
        self.given = 0  # samples returned so far
        self._ratio = Fraction(rate_out_hz, rate_in_hz)
        self._channels = channels
        self._taken = 0
        self._chain = (
            None
            if rate_in_hz == rate_out_hz
            else FilterChain(rate_in_hz, channels, (("aresample", f"{rate_out_hz}:{RESAMPLE_OPTIONS}"),))
        )

    def push(self, samples: Samples) -> Samples:
        """Feed a block and return what is resampled by now."""
        self._taken += samples.shape[1]
        resampled = samples if self._chain is None else self._chain.push(samples)
        self.given += resampled.shape[1]
        return resampled

    def finish(self) -> Samples:
        """Return the rest, so that the count is exact."""
        if self._chain is None or self._taken == 0:
            return np.zeros((self._channels, 0))
        due = resampled_length(self._taken, self._ratio) - self.given
        rest = self._chain.finish()[:, : max(due, 0)]
        rest = np.pad(rest, ((0, 0), (0, max(due - rest.shape[1], 0))))
        self.given += rest.shape[1]
        return rest


def resampled_length(samples: int, ratio: Fraction) -> int:
    """How many samples `samples` become at `ratio` (rate out / rate in): rounded, halves up, at least one of any."""
    if samples == 0:
        return 0
    return max(int(samples * ratio + Fraction(1, 2)), 1)
