"""Is memory flat? Peak memory of `vidsearch index` on a 10-minute and on a 60-minute video, and the library's size.

    python benchmarks/memory.py [--minutes 10 60]
    python benchmarks/memory.py --ask --minutes 1 120        of `vidsearch ask` about the whole video instead

The videos are one clip of examples/clips repeated without re-encoding. Memory is the sum over the program and its
decoding processes of the resident set, sampled 20 times a second. Linux only. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from machine import finish

CLIP = Path(__file__).parents[1] / "examples" / "clips" / "long-five-events.mp4"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def repeat(clip: Path, target: Path, minutes: float) -> None:
    """The packets of a clip again and again, their times shifted, until the length is reached."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as output:
        stream = source.streams.video[0]
        packets = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe, packet.duration)
            for packet in source.demux(stream)
            if packet.dts is not None
        ]
        length = sum(duration for *_, duration in packets)
        copy = output.add_stream_from_template(stream)
        for turn in range(round(minutes * 60 / float(length * stream.time_base))):
            for data, pts, dts, key, duration in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * length, dts + turn * length, duration
                packet.is_keyframe, packet.stream, packet.time_base = key, copy, stream.time_base
                output.mux(packet)


def peak_bytes(command: list[str], home: Path) -> int:
    """The largest sum of resident memory of a command and all its descendants."""
    models = {"VIDSEARCH_MODEL": "mobileviclip-nano", "VIDSEARCH_ASK_MODEL": "mobilevideogpt-nano"}
    environment = {**os.environ, "VIDSEARCH_HOME": str(home), **models}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident_bytes, family(process.pid))))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return peak


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        others = [
            child
            for task in Path(f"/proc/{pid}/task").iterdir()
            if task.name != str(pid)
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has just ended
        return []
    return [pid, *(member for child in [*children, *others] for member in family(int(child)))]


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs=2, default=[10, 60])
    parser.add_argument("--ask", action="store_true")
    given = parser.parse_args()
    before, after = (["ask"], ["what happens?", "--coverage", "full"]) if given.ask else (["index"], [])
    peaks, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in given.minutes:
            video, home = Path(folder) / f"{minutes:g}.mp4", Path(folder) / f"home-{minutes:g}"
            repeat(CLIP, video, minutes)
            peaks.append(peak_bytes([sys.executable, "-m", "vidsearch", *before, str(video), *after], home))
            sizes.append(sum(file.stat().st_size for file in home.iterdir()))
            kept = "" if given.ask else f", library {sizes[-1] / 1e6:5.2f} MB"
            print(f"{minutes:5g} minutes: peak {peaks[-1] / 1e6:6.0f} MB{kept}")
    print(f"ratio of the peaks: {peaks[1] / peaks[0]:.3f}")
    finish(
        "memory",
        command=before[0],
        minutes=given.minutes,
        peak_bytes=peaks,
        library_bytes=sizes,
        ratio=peaks[1] / peaks[0],
    )


if __name__ == "__main__":
    main()
