"""Peak memory of one worker over a chunk at 1080p with the product's four rungs, of a minute and of an hour of video.

Both lengths are the same few seconds repeated, copied packet by packet; chunks are taken from the start, the middle
and the end. Then a whole hour of tiny pictures goes through packaging, whose workers see every chunk at once. Run:
`python -m benchmarks.worker_memory [--skip-packaging]`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import sqlalchemy

from benchmarks.clips import DEMANDING, clip
from benchmarks.results import Figure, record
from media_assets.declared import declared
from media_assets.plain import door_of, make_source
from processing.work import Bounds, ProductOrder, SourceFile, Task, Work
from resources.attempts import RunFacts
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.house import open_house
from resources.intake import register_files
from resources.recipes import PlannedUnit, plan_units, taps_wanted
from resources.settings import load_settings
from tests.database import server

BAR_MB = 450.0
STRETCH_MB = 400.0
MB = 1_000_000
LADDER = [1080, 720, 540, 360]
REPEATED_S = 4
TINY = (128, 72)
HOUR_S = 3600
PACKAGED = ("media_info", "chunks", "soundtrack", "hls", "proxy", "loudness", "waveform", "poster")


def repeated(path: Path, model: Path, times: int) -> Path:
    """Write the packets of `model` `times` over, one after the other, without decoding anything."""
    with av.open(str(model)) as source, av.open(str(path), "w", format="mp4") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.dts is not None]
        spans = {
            index: sum(packet.duration or 0 for packet in packets if packet.stream_index == index) for index in streams
        }
        bases = {stream.index: stream.time_base or Fraction(1, 90_000) for stream in source.streams}
        recorded = [(packet.stream_index, packet.pts, packet.dts, packet) for packet in packets]
        for turn in range(times):
            for index, pts, dts, packet in recorded:
                packet.stream = streams[index]
                packet.pts = (pts or 0) + turn * spans[index]
                packet.dts = (dts or 0) + turn * spans[index]
                packet.time_base = bases[index]
                output.mux(packet)
    return path


class Bench:
    """Runs the declared operations on one source in workers as the product does, and notes their peaks."""

    def __init__(self, compute: LocalCompute, folder: Path, source: Path) -> None:
        self._compute = compute
        self._folder = folder
        self._source = SourceFile(source, source.stem.ljust(64, "0"), source.stat().st_size)
        self._works: dict[str, Work] = {name: declaration.work for name, declaration in declared().items()}
        done = self._run("media_info", {}, (), HOUR_S)
        self.info: Mapping[str, Any] = done[0]
        self.probe_mb = done[1]

    def units(self) -> tuple[PlannedUnit, ...]:
        """The chunks, with all taps the product has."""
        work = self._works["chunks"]
        options = {"ladder": LADDER, "encoder": _encoder()}
        taps = taps_wanted(work, self._works.values(), list(self._works), self.info, options)
        return plan_units(work, taps, self.info, options, self._source.sha256)

    def chunk_mb(self, unit: PlannedUnit) -> float:
        """Peak of one chunk's worker (MB)."""
        orders = tuple(made.ordered() for made in unit.products)
        return self._run("chunks", unit.parameters, orders, unit.media_s)[1]

    def _run(
        self, asset: str, parameters: Mapping[str, Any], products: tuple[ProductOrder, ...], media_s: float
    ) -> tuple[Mapping[str, Any], float]:
        work = self._works[asset]
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        task = Task(
            operation=work.operation,
            parameters=parameters or dict(work.parameters({}, {})),
            scratch=scratch,
            source=self._source,
            products=products,
            correlation="benchmark",
        )
        bounds: Bounds = work.bounds
        done = self._compute.run(task, bounds, media_s=media_s, needs_permit=work.encodes, label=asset)
        return done.result.facts, done.usage.peak_memory_bytes / MB


def _encoder() -> dict[str, Any]:
    settings = load_settings(home=tempfile.gettempdir())
    return {"preset": settings.preset, "lookahead": settings.lookahead}


def chunk_peaks(compute: LocalCompute, folder: Path, model: Path, seconds: int) -> dict[str, float]:
    """Peaks (MB) of the probe of a source of `seconds` and of its first, middle and last full chunk."""
    source = repeated(folder / f"{seconds}.mp4", model, seconds // REPEATED_S)
    bench = Bench(compute, folder, source)
    units = bench.units()
    found = {"media_info": bench.probe_mb}
    for name, index in (("first", 0), ("middle", len(units) // 2), ("last", len(units) - 1)):
        found[name] = bench.chunk_mb(units[index])
    size_mb = source.stat().st_size / MB
    print(
        f"{seconds} s ({size_mb:.0f} MB, {len(units)} chunks): "
        + ", ".join(f"{n} {v:.0f} MB" for n, v in found.items())
    )
    source.unlink()
    return found


def packaging_peaks(folder: Path, seconds: int) -> dict[str, float]:
    """Peaks (MB) by asset of everything made of a source of `seconds` with tiny pictures, contracts included."""
    model = clip(folder / "tiny-model.mp4", seconds=REPEATED_S, number=2, width=TINY[0], height=TINY[1], rate=5)
    source = repeated(folder / "tiny.mp4", model, seconds // REPEATED_S)
    settings = load_settings(home=str(folder / "home"))
    with server() as postgres, closing(open_house(settings, postgres.start())) as house:
        arrived = register_files(house, [source], door_of(declared()), actor="benchmark")[0]
        run = RunFacts(run_id="benchmark", correlation=arrived.arrival_id, actor="benchmark")
        made = make_source(house, declared(), arrived.source_key, run, PACKAGED)
        failed = [f"{name}: {outcome}" for name, outcome in made.items() if isinstance(outcome, Exception)]
        if failed:
            raise SystemExit("; ".join(failed))
        engine = sqlalchemy.create_engine(postgres.start())
        with engine.connect() as connection:
            rows = connection.execute(
                sqlalchemy.text(
                    "SELECT asset, max(peak_memory_bytes) FROM ledger.attempts a "
                    "JOIN ledger.attempt_ends e ON e.attempt = a.seq GROUP BY asset"
                )
            ).all()
        engine.dispose()
    peaks = {str(asset): peak / MB for asset, peak in rows}
    print(f"{seconds} s of {TINY[0]}x{TINY[1]}: " + ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()))
    return peaks


def main() -> None:
    """Measure, print and record; fail above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-packaging", action="store_true", help="only the chunks at 1080p")
    parser.add_argument("--seconds", type=int, default=HOUR_S, help="length of the long sources")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        model = clip(folder / "model.mp4", seconds=REPEATED_S, number=1, width=1920, height=1080, codec=DEMANDING)
        with closing(LocalCompute(Permits(), workers=1)) as compute:
            minute = chunk_peaks(compute, folder, model, 60)
            long = chunk_peaks(compute, folder, model, given.seconds)
        chunks = [value for peaks in (minute, long) for name, value in peaks.items() if name != "media_info"]
        of_long = max(value for name, value in long.items() if name != "media_info")
        of_minute = max(value for name, value in minute.items() if name != "media_info")
        figures = {
            "worker_memory_1080p": Figure(round(max(chunks)), BAR_MB, "lower", "MB"),
            "worker_memory_hour_to_minute": Figure(round(of_long / of_minute, 2), 1.05, "lower", "times"),
            "worker_memory_probe_of_an_hour": Figure(round(long["media_info"]), BAR_MB, "lower", "MB"),
        }
        if not given.skip_packaging:
            peaks = packaging_peaks(folder, given.seconds)
            figures["worker_memory_packaging_an_hour"] = Figure(
                round(max(peaks[name] for name in PACKAGED if name in peaks)), BAR_MB, "lower", "MB"
            )
    for name, figure in figures.items():
        print(f"{name}: {figure.value:g} {figure.unit} (at most {figure.bar:g}; stretch {STRETCH_MB:g} MB)")
    record(figures)
    if not all(figure.holds for figure in figures.values()):
        raise SystemExit("above a bar")


if __name__ == "__main__":
    main()
