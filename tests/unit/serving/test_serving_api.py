"""The API of the page: the forms of `--json`, pictures, bytes, converted video and answers."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from urllib.parse import urlencode

import av
import numpy as np
import pytest
from fakes import ScriptedAnswerer
from serving import ANSWER, QUESTION, Served, served
from support import CLIPS, run_in_process
from video_samples import even_times, make_video, number_in

from vidsearch.serving.convert import convert
from vidsearch.serving.ranges import byte_range


def test_a_search_gives_the_hits_of_the_command_line(server: Served, clips_library: Path) -> None:
    words = "a red square moving left"
    done = run_in_process("query", words, "--json", "--all")
    command = json.loads(done.stdout)
    page = server.get("/api/search?q=a+red+square+moving+left&top=10&all=true").json
    assert [hit | command_hit for hit, command_hit in zip(page["hits"], command["hits"], strict=True)] == page["hits"]
    assert (page["query"], page["model"], page["version"]) == (words, command["model"], command["version"])


def test_weak_moments_are_counted_and_words_that_say_nothing_are_told(server: Served) -> None:
    page = server.get("/api/search?q=a+red+zebra&top=100").json
    assert page["left_out"] > 0 and {hit["level"] for hit in page["hits"]} <= {"high", "medium", "low"}
    assert page["unknown_words"] == ["zebra"]
    assert server.get("/api/search?q=zebra").json["hits"] == []


def test_a_curve_has_every_window_of_one_video_in_the_order_of_time(server: Served) -> None:
    [best] = server.get("/api/search?q=a+purple+star+moving+left&top=1").json["hits"]
    curve = server.get(f"/api/videos/{best['video']}/curve?q=a+purple+star+moving+left").json
    starts = [window["start_s"] for window in curve["windows"]]
    assert starts == sorted(starts) and len(starts) > 5
    assert max(window["score"] for window in curve["windows"]) == best["score"]
    assert curve["moments"][0] == best
    assert server.get(f"/api/videos/{best['video']}/curve?q=zebra").json["windows"] == []


def test_videos_come_by_pages_and_one_by_its_number(server: Served, square: int) -> None:
    first = server.get("/api/videos?limit=20").json
    second = server.get("/api/videos?limit=20&offset=20").json
    numbers = [video["video"] for video in first["videos"] + second["videos"]]
    assert first["total"] == len(numbers) == len(set(numbers)) == len(list(CLIPS.glob("*.mp4")))
    facts = server.get(f"/api/videos/{square}").json
    assert facts["path"] == str(CLIPS / "red-square-left.mp4") and facts["type"].startswith('video/mp4; codecs="avc1.')
    assert not facts["has_sound"]


def test_the_library_is_told_as_by_info(server: Served, indexed_clips: Path) -> None:
    done = run_in_process("info", "--json", env={"VIDSEARCH_HOME": str(indexed_clips)})
    page = server.get("/api/library").json
    assert {name: page[name] for name in ("roots", "models", "videos", "schema")} == {
        name: json.loads(done.stdout)[name] for name in ("roots", "models", "videos", "schema")
    }
    assert page["levels"]["high"] > page["levels"]["medium"] > page["levels"]["low"]


def test_a_picture_is_a_jpeg_of_the_video(server: Served, square: int) -> None:
    for fields in ("time_s=1", "time_s=1&side=640", "time_s=1&start_s=0&end_s=4"):
        reply = server.get(f"/api/videos/{square}/picture?{fields}")
        assert reply.headers["content-type"] == "image/jpeg"
        with av.open(io.BytesIO(reply.body)) as picture:
            frame = next(picture.decode(video=0))
        assert frame.width > frame.height > 0


@pytest.mark.parametrize(
    "asked", ["bytes=0-99", "bytes=100-", "bytes=-50", "bytes=0-999999999", "bytes=7-7", None, "lines=0-9"]
)
def test_bytes_come_straight_from_the_file(server: Served, square: int, asked: str | None) -> None:
    content = (CLIPS / "red-square-left.mp4").read_bytes()
    reply = server.get(f"/api/videos/{square}/file", **({"range": asked} if asked else {}))
    part = byte_range(asked, len(content))
    assert reply.status == (200 if part is None else 206)
    assert reply.headers["accept-ranges"] == "bytes" and reply.headers["content-type"] == "video/mp4"
    if part is None:
        assert reply.body == content
    else:
        assert reply.body == content[part[0] : part[1] + 1]
        assert reply.headers["content-range"] == f"bytes {part[0]}-{part[1]}/{len(content)}"


def test_a_range_behind_the_end_a_changed_file_and_head(server: Served, square: int) -> None:
    target, size = f"/api/videos/{square}/file", (CLIPS / "red-square-left.mp4").stat().st_size
    behind = server.get(target, range=f"bytes={size}-")
    assert (behind.status, behind.headers["content-range"], behind.body) == (416, f"bytes */{size}", b"")
    tag = server.get(target).headers["etag"]
    assert server.get(target, range="bytes=0-9", if_range=tag).status == 206
    assert server.get(target, range="bytes=0-9", if_range='"another"').status == 200
    head = server.request("HEAD", target)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))


def test_a_converted_video_begins_where_it_was_asked_to(server: Served, square: int) -> None:
    reply = server.get(f"/api/videos/{square}/converted?start_s=1.5&height=240")
    assert (reply.status, reply.headers["content-type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(reply.body)) as video:
        times = [frame.time for frame in video.decode(video=0)]
        assert video.streams.video[0].codec_context.name == "h264" and video.streams.video[0].height <= 240
    assert times[0] == 0 and times == sorted(set(times))
    facts = server.get(f"/api/videos/{square}").json
    assert times[-1] == pytest.approx(facts["duration_s"] - 1.5, abs=0.1)
    late = server.get(f"/api/videos/{square}/converted?start_s=1000")
    assert (late.status, late.json) == (422, {"error": "The video has no picture at that time."})


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_that_begins_late_ends_with_its_pictures(tmp_path: Path, suffix: str) -> None:
    home, videos = tmp_path / "home", tmp_path / "videos"
    videos.mkdir()
    make_video(videos / f"late{suffix}", even_times(300, fps=25, start_s=10))
    assert run_in_process("index", videos, env={"VIDSEARCH_HOME": str(home)}).returncode == 0
    with served(home, ScriptedAnswerer({QUESTION: ANSWER})) as server:
        facts = server.get("/api/videos/1").json
        last = server.get("/api/videos/1/converted?start_s=21.8")
        [hit] = server.get("/api/search?q=a+red+square&top=1&all=true").json["hits"]
        window = server.parts.catalogue.widened(server.parts.catalogue.entry(1), 21.0, 22.0)
    assert (facts["start_s"], facts["end_s"], facts["duration_s"]) == pytest.approx((10, 22, 22), abs=0.001)
    assert (hit["video_start_s"], hit["video_end_s"]) == (facts["start_s"], facts["end_s"])
    assert (last.status, last.headers["content-type"]) == (200, "video/mp4")
    assert window == pytest.approx((14, 22), abs=0.001)


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_conversion_begins_between_key_frames_with_the_picture_shown_there(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / f"long_groups{suffix}", even_times(100, 25), key_every=90)
    with av.open(str(source)) as container:
        begins_s = (container.start_time or 0) / av.time_base
    for number in (10, 50, 95):
        written = io.BytesIO()
        convert(source, begins_s + number / 25, 64, written)
        with av.open(io.BytesIO(written.getvalue())) as converted:
            first = next(converted.decode(video=0))
        assert (number_in(first.to_ndarray(format="rgb24")), first.time) == (number, 0)


def test_the_full_range_of_brightness_is_converted_to_the_usual_one(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "full.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 60, 30), np.uint8))))
        container.mux(stream.encode(None))
    written = io.BytesIO()
    convert(tmp_path / "full.avi", 0.0, 64, written)
    with av.open(io.BytesIO(written.getvalue())) as converted:
        picture = next(converted.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.mean(axis=(0, 1)) == pytest.approx([200, 60, 30], abs=4)


def test_what_lies_before_the_zero_of_a_file_is_shown_played_and_handed_on(tmp_path: Path, own_home: Path) -> None:
    """A transport stream that was recorded over the end of its clock begins before 0."""
    over = tmp_path / "over.ts"
    with av.open(str(CLIPS / "red-square-left.mp4")) as source, av.open(str(over), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                late = round((2**33 / 90_000 - 4.4) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, copy
                target.mux(packet)
    assert run_in_process("index", over, env={"VIDSEARCH_HOME": str(own_home)}).returncode == 0
    with served(own_home, ScriptedAnswerer({QUESTION: ANSWER})) as server:
        [hit] = server.get("/api/search?q=a+red+square+moving+left").json["hits"]
        assert hit["start_s"] < -2 and hit["end_s"] - hit["start_s"] == pytest.approx(4, abs=0.1)
        moment = {name: hit[name] for name in ("video", "start_s", "end_s")}
        target = f"/api/videos/{hit['video']}"
        for question in (f"/api/similar?{urlencode(moment)}", f"{target}/picture?time_s={hit['start_s']}"):
            assert server.get(question).status == 200
        played = server.get(f"{target}/converted?start_s={hit['start_s'] + 1}")
        assert played.status == 200, played.body
        with av.open(io.BytesIO(played.body)) as video:
            assert float((video.duration or 0) / av.time_base) == pytest.approx(3, abs=0.2)
        assert server.post("/api/ask", moment | {"question": QUESTION}).status == 200
        assert server.post("/api/exports", {"form": "exact", "moments": [moment]}).status == 200


def test_an_answer_comes_in_events(server: Served, square: int) -> None:
    reply = server.post("/api/ask", {"video": square, "start_s": 0, "end_s": 4, "question": QUESTION})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: ")]
    assert [event["kind"] for event in events[:3]] == ["waiting", "encoded", "question"]
    assert "".join(event["text"] for event in events if event["kind"] == "piece") == ANSWER
    assert len([event for event in events if event["kind"] == "piece"]) == len(ANSWER.split())
    assert events[-1] == {"kind": "answered", "answer": ANSWER, "tokens": 4, "finish_reason": "stop"}


def test_the_page_and_its_files_are_sent_once(server: Served) -> None:
    page = server.get("/")
    assert page.body.startswith(b"<!doctype html>") and page.body == server.get("/video/3").body
    for name in ("look.css", "app.css", "main.js", "icon.svg"):
        reply = server.get(f"/static/{name}")
        assert reply.status == 200 and server.get(f"/static/{name}", if_none_match=reply.headers["etag"]).status == 304


def test_a_range_is_read_as_the_standard_has_it() -> None:
    assert byte_range("bytes=5-2", 10) is None and byte_range("bytes=0-1,3-4", 10) is None
    assert byte_range("bytes=-", 10) is None and byte_range("bytes=-20", 10) == (0, 9)
    for asked, size in (("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)):
        with pytest.raises(ValueError):
            byte_range(asked, size)


def test_a_question_about_a_video_that_is_not_at_hand_is_answered_with_what_to_do(tmp_path: Path) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    disk.mkdir()
    shutil.copy(CLIPS / "red-square-left.mp4", disk)
    assert run_in_process("index", disk, env={"VIDSEARCH_HOME": str(home)}).returncode == 0
    with served(home, ScriptedAnswerer({QUESTION: ANSWER})) as server:
        asked = {"video": 1, "start_s": 0, "end_s": 4, "question": QUESTION}
        assert server.post("/api/ask", asked).status == 200
        disk.rename(tmp_path / "away")
        refused = server.post("/api/ask", asked)
    text = f"{disk / 'red-square-left.mp4'} is not there now; plug its disk in, or index where it is now."
    assert (refused.status, refused.json) == (404, {"error": text})
