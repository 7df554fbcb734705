"""The page in a real browser, over a real server and real files: what a person does, with a mouse and without."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import ScriptedAnswerer, ScriptedSession
from serving import ANSWER, QUESTION, Served, served
from support import CLIPS, run_in_process
from video_samples import even_times, make_video

from vidsearch.answering.interface import Clip, GenerationOptions

selenium = pytest.importorskip("selenium", reason="selenium drives the browser: pip install -e '.[dev]'")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no browser: apt-get install chromium chromium-driver"),
]
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WORDS = "a red square moving left"


class Page:
    """A browser at a server."""

    def __init__(self, driver: webdriver.Chrome, server: Served, downloads: Path, videos: Path) -> None:
        self.driver, self.server, self.downloads, self.videos = driver, server, downloads, videos

    def open(self, address: str, ready: str) -> None:
        self.driver.get(f"{self.server.url}{address}")
        self.wait(f"return document.querySelector({json.dumps(ready)})")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> Any:
        """What a script gives once it gives something."""
        return until(lambda: self.js(script, *arguments), script)

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def size(self, width_px: int, height_px: int) -> None:
        metrics = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def until(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if value := holds():
            return value
        time.sleep(0.05)
    raise AssertionError(f"never true: {what}")


@pytest.fixture(scope="module")
def page(indexed_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    place = tmp_path_factory.mktemp("page")
    home, videos, downloads = place / "home", place / "videos", place / "downloads"
    shutil.copytree(indexed_clips, home)
    for folder in (videos, downloads):
        folder.mkdir()
    make_video(videos / "old <b>&amp; odd.avi", even_times(100, 25.0), codec="mpeg4", rate=25, own_rate=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSEARCH_HOME", str(home))
        done = run_in_process("index", videos, env={"VIDSEARCH_HOME": str(home)})
        assert done.returncode == 0, done.stderr.decode()
        with served(home, ScriptedAnswerer({QUESTION: ANSWER})) as server:
            driver = started_browser(place / "profile", downloads)
            try:
                yield Page(driver, server, downloads, videos)
            finally:
                driver.quit()


def started_browser(profile: Path, downloads: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--disable-gpu", "--mute-audio", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses its sandbox to root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    return driver


def test_words_become_pictures_of_moments(page: Page) -> None:
    page.size(1280, 800)
    page.open("/", ".card")
    page.js("document.getElementById('words').value = arguments[0]", WORDS)
    page.driver.find_element("css selector", "#search button").click()
    names = page.wait(
        "const found = [...document.querySelectorAll('.card .name')]; "
        "return location.search && found.length ? found.map((it) => it.textContent) : null"
    )
    hits = page.server.get(f"/api/search?q={WORDS.replace(' ', '+')}&top=24").json["hits"]
    assert names == [Path(hit["path"]).name for hit in hits]
    assert page.js("return document.getElementById('found').textContent").startswith(f"{len(hits)} moments in ")
    page.wait("const image = document.querySelector('.card img'); return image.complete && image.naturalWidth > 100")


def test_a_moment_plays_under_the_pointer(page: Page) -> None:
    page.open(f"/?q={WORDS.replace(' ', '+')}", ".card .level")
    shot = page.driver.find_element("css selector", ".shot")
    ActionChains(page.driver).move_to_element(shot).perform()
    page.wait(
        "const video = document.querySelector('.shot video'); return video && video.currentTime > 0.3 && !video.paused"
    )
    ActionChains(page.driver).move_to_element(page.driver.find_element("css selector", ".brand")).perform()
    page.wait("return !document.querySelector('.shot video')")


def test_all_of_it_works_with_keys_alone(page: Page) -> None:
    page.open("/", ".card")
    page.press("/", *WORDS, Keys.ENTER)
    page.wait("return location.search.includes('q=') && document.querySelector('.card .level')")
    until(
        lambda: (page.press(Keys.TAB), page.js("return document.activeElement.matches('.shot')"))[1],
        "Tab comes to a picture",
    )
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_LEFT, "p")
    page.wait("const video = document.querySelector('.shot video'); return video && video.currentTime > 0.1")
    page.press("x")
    assert page.wait("return document.querySelector('#tray strong')?.textContent") == "1 moment"
    page.press(Keys.ENTER)
    page.wait("return location.pathname.startsWith('/video/') && document.querySelector('#player')?.readyState > 1")
    page.press(" ")
    page.wait("const video = document.getElementById('player'); return !video.paused && video.currentTime > 0.2")
    page.press(" ")
    page.wait("return document.getElementById('player').paused")
    page.press("i", Keys.ARROW_RIGHT, "o", "a")
    assert page.js("return document.activeElement.id") == "question"
    page.press(Keys.ESCAPE, "x", "?")
    page.wait("return document.querySelector('dialog[open]')")
    page.press(Keys.ESCAPE)
    page.wait("return !document.querySelector('dialog')")
    page.driver.back()
    page.wait("return location.pathname === '/' && document.querySelector('.picked')")
    page.js("sessionStorage.clear()")


def test_a_video_plays_jumps_and_shows_where_it_matches(page: Page) -> None:
    hit = page.server.get("/api/search?q=a+purple+star+moving+left&top=1").json["hits"][0]
    page.open(
        f"/video/{hit['video']}?t={hit['start_s']}&end={hit['end_s']}&q=a+purple+star+moving+left", ".curve .line"
    )
    page.wait("return document.getElementById('player').readyState > 1")
    assert page.js("return document.getElementById('player').currentTime") == pytest.approx(hit["start_s"], abs=0.1)
    assert "/file" in page.js("return document.getElementById('player').currentSrc")
    page.driver.find_element("id", "play").click()
    page.wait("return document.getElementById('player').currentTime > arguments[0] + 0.3", hit["start_s"])
    page.js("document.getElementById('player').pause()")
    box = page.driver.find_element("id", "curve")
    ActionChains(page.driver).move_to_element_with_offset(box, -box.size["width"] // 4, 0).click().perform()
    length_s = hit["video_duration_s"]
    page.wait("return Math.abs(document.getElementById('player').currentTime - arguments[0]) < 1", length_s / 4)
    assert int(box.get_attribute("aria-valuenow")) == pytest.approx(length_s / 4, abs=1)
    assert page.js("return document.querySelectorAll('.stops li').length") >= 1


def test_what_the_browser_cannot_play_is_converted_and_can_be_jumped_in(page: Page) -> None:
    videos = page.server.get("/api/videos?limit=100").json["videos"]
    [number] = [video["video"] for video in videos if video["path"].endswith(".avi")]
    page.open(f"/video/{number}?t=1", "#play")
    assert page.js("return document.querySelector('h1').textContent") == "old <b>&amp; odd.avi"
    page.driver.find_element("id", "play").click()
    page.wait(
        "const video = document.getElementById('player'); "
        "return video.currentSrc.includes('converted') && video.currentTime > 0.3"
    )
    page.js("document.getElementById('player').pause()")
    page.press(Keys.ARROW_LEFT)
    page.wait(
        "return document.getElementById('player').currentSrc.includes('start_s=0.000') "
        "&& document.getElementById('time').textContent.startsWith('0:00.0')"
    )
    page.open("/", ".card")
    until(lambda: not page.server.parts.conversions.pids, "the conversion ends with its viewer")


def test_an_answer_comes_in_word_by_word(
    page: Page,
) -> None:
    page.open("/video/1", "#question")
    page.driver.find_element("id", "question").send_keys(QUESTION + Keys.ENTER)
    page.wait("return document.querySelector('.answer')?.textContent === arguments[0]", ANSWER)
    assert page.js("return document.querySelector('.answer').childNodes.length") == len(ANSWER.split())
    assert page.wait("return document.querySelector('.turn .note')?.textContent").startswith("Looked at 4 pictures")


def test_similar_moments_are_others(page: Page) -> None:
    hit = page.server.get("/api/search?q=a+purple+star+moving+left&top=1").json["hits"][0]
    page.open(f"/video/{hit['video']}?t={hit['start_s']}&end={hit['end_s']}", "#find-similar")
    page.driver.find_element("id", "find-similar").click()
    page.wait("return document.querySelectorAll('#similar .card').length >= 3")
    page.open(f"/?like={hit['video']}@{hit['start_s']}-{hit['end_s']}", ".grid .card")
    assert page.js("return document.title") == "Similar moments - vidsearch"


def test_a_selection_is_downloaded_as_a_table_and_as_clips(page: Page) -> None:
    page.open(f"/?q={WORDS.replace(' ', '+')}", ".card .level")
    for place in (0, 1):
        page.js("document.querySelectorAll('.pick input')[arguments[0]].click()", place)
    for form, name in (("csv", "vidsearch.csv"), ("clips", "vidsearch-clips.zip")):
        page.js(
            "const forms = document.getElementById('form'); "
            "forms.value = arguments[0]; forms.dispatchEvent(new Event('change'))",
            form,
        )
        page.js("document.getElementById('export').click()")
        until(lambda name=name: (page.downloads / name).is_file(), name)  # type: ignore[misc]
    assert len(list(csv.reader((page.downloads / "vidsearch.csv").read_text(encoding="utf-8").splitlines()))) == 3
    with zipfile.ZipFile(page.downloads / "vidsearch-clips.zip") as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 2
    page.js("sessionStorage.clear()")


def test_filters_are_written_into_the_query(page: Page) -> None:
    page.js("sessionStorage.setItem('filters', 'open')")
    page.open("/?q=a+red+square", "#filter-under option:nth-child(2)")
    page.js(
        "const folder = document.getElementById('filter-under'); "
        "folder.value = arguments[0]; folder.dispatchEvent(new Event('change'))",
        str(page.videos),
    )
    page.wait("return document.getElementById('words').value.includes('under:')")
    page.wait("return document.getElementById('found').textContent.length")
    assert page.js(
        "return [...document.querySelectorAll('.card .name')].every((it) => it.textContent.endsWith('.avi'))"
    )
    page.js("sessionStorage.clear()")


def test_a_query_that_cannot_be_read_is_told(page: Page) -> None:
    page.open("/?q=since:yesterdayish+dog", ".notice.bad")
    assert "since" in page.js("return document.querySelector('.notice.bad').textContent")


def test_indexing_goes_on_in_front_of_ones_eyes(page: Page) -> None:
    shutil.copy(CLIPS / "red-square-left.mp4", page.videos / "new.mp4")
    page.open("/library", "#start-run")
    page.driver.find_element("id", "start-run").click()
    line = page.wait(
        "const line = document.getElementById('run')?.textContent ?? ''; "
        "return /indexed in|unchanged|failed/.test(line) ? line : null"
    )
    assert page.server.parts.indexing.progress.state == "done", line
    page.wait("return [...document.querySelectorAll('.card .name')].some((it) => it.textContent === 'new.mp4')")


def test_dark_follows_the_system_and_the_button(page: Page) -> None:
    page.open("/", ".card")
    shade = "return Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    page.colours("dark")
    assert page.js(shade) < 60
    page.colours("light")
    assert page.js(shade) > 200
    for _ in range(2):
        page.driver.find_element("id", "theme").click()
    assert page.js("return document.documentElement.dataset.theme") == "dark" and page.js(shade) < 60
    page.open("/library", "#run")
    assert page.js(shade) < 60
    page.driver.find_element("id", "theme").click()
    assert page.js(shade) > 200


@pytest.mark.parametrize(
    "address", ["/", "/?q=a+red+square", "/?q=a+red+square&group=video", "/video/1?q=a+square", "/library"]
)
def test_a_telephone_needs_no_sideways_scrolling(page: Page, address: str) -> None:
    page.size(360, 740)
    page.open(address, "main:not(:has(.ghost)) :is(.card .facts, .stops, .curve .line)")
    assert page.js("return document.documentElement.scrollWidth") <= 360
    page.size(1280, 800)


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm install --prefix tests/browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_who_sees_or_hears_the_page_otherwise(page: Page, scheme: str) -> None:
    """WCAG 2.2 AA as far as axe-core judges it."""
    page.colours(scheme)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    for address, ready in (
        ("/", ".card"),
        ("/?q=a+red+square", ".card .level"),
        ("/video/1?q=a+square", ".curve .line"),
        ("/library", "#run"),
    ):
        page.open(address, ready)
        if "red" in address:
            page.js("document.querySelector('.pick input').click()")
        page.js("document.querySelector('.card img')?.dispatchEvent(new Event('error'))")  # a picture that is missing
        page.js(AXE.read_text(encoding="utf-8"))
        found = page.driver.execute_async_script(
            "const done = arguments[1]; axe.run(document, arguments[0]).then((it) => done(it.violations))", rules
        )
        told = [
            f"{it['id']}: {node['html'][:120]} {node['failureSummary']}"
            for it in found
            if it["impact"] in ("serious", "critical")
            for node in it["nodes"]
        ]
        assert told == [], address
    page.js("sessionStorage.clear()")
    page.colours("light")


def test_another_filter_leaves_the_spaces_in_a_folder_alone(page: Page) -> None:
    page.js("sessionStorage.setItem('filters', 'open')")
    page.open('/?q=a+red+square+since:2020+under:"/two++spaces"+-dog', "#filter-since")
    page.js(
        "const since = document.getElementById('filter-since'); "
        "since.value = '2021-02-03'; since.dispatchEvent(new Event('change'))"
    )
    page.wait("return document.getElementById('words').value.includes('2021')")
    written = page.js("return document.getElementById('words').value")
    assert written == 'a red square under:"/two  spaces" -dog since:2021-02-03'
    page.js("sessionStorage.clear()")


def test_more_is_offered_while_there_is_more(page: Page) -> None:
    button = "return [...document.querySelectorAll('main button')].some((it) => it.textContent === 'Show more')"
    page.open("/?q=a+red+square&all=true&group=video&top=20", ".group")
    assert page.js(button)
    page.open("/?q=a+red+square&all=true&group=video&top=30", ".group")
    assert page.js("return document.querySelectorAll('.card').length") > 30
    assert page.js("return document.querySelectorAll('.group').length") < 30
    assert not page.js(button)
    page.open("/?q=a+red+square&all=true&top=504", ".card .level")  # more than the server gives at a time


def test_back_leads_to_where_one_was(page: Page) -> None:
    page.size(1280, 400)
    page.open("/?q=a+red+square&all=true", ".card .level")
    page.js("window.scrollTo(0, 700)")
    page.js("[...document.querySelectorAll('.shot')].find((it) => it.getBoundingClientRect().top > 0).click()")
    page.wait("return location.pathname.startsWith('/video/') && document.querySelector('.about-list')")
    assert page.js("return window.scrollY") == 0
    page.driver.back()
    page.wait("return document.querySelector('.card .level') && window.scrollY === 700")
    page.size(1280, 800)


def test_skipping_to_the_content_leaves_it_as_it_is(page: Page) -> None:
    page.open("/?q=a+red+square", ".card .level")
    page.js("window.first = document.querySelector('.card'); document.querySelector('a.skip').click()")
    page.wait("return location.hash === '#main' && document.activeElement.id === 'main'")
    time.sleep(0.2)  # a view that is made anew would be on its way by now
    assert page.js("return window.first.isConnected")


@pytest.mark.parametrize(("times", "shown"), [("t=abc", "0:00.0 - 0:04.0"), ("t=1e9&end=2e9", "0:03.9 - 0:04.0")])
def test_times_of_an_address_that_the_video_does_not_have(page: Page, times: str, shown: str) -> None:
    videos = page.server.get("/api/videos?limit=100").json["videos"]
    [number] = [it["video"] for it in videos if it["path"].endswith("clips/red-square-left.mp4")]
    page.open(f"/video/{number}?{times}", ".about-list")
    assert page.wait("return document.querySelector('.range-text').textContent") == shown


def test_a_page_that_comes_into_a_run_of_indexing_shows_what_it_made(page: Page) -> None:
    shutil.copy(CLIPS / "red-square-right.mp4", page.videos / "during.mp4")
    page.open("/library", "#start-run")
    assert page.server.post("/api/indexing/start", {}).status == 200
    page.driver.refresh()
    page.wait("return [...document.querySelectorAll('.card .name')].some((it) => it.textContent === 'during.mp4')")


def test_nothing_was_asked_of_anybody_else(page: Page) -> None:
    """All requests of the tests above; and no error in the console but those that a test made."""
    asked = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    urls = {it["params"]["request"]["url"] for it in asked if it["method"] == "Network.requestWillBeSent"}
    assert (
        urls
        and [
            url
            for url in urls
            if not url.startswith((f"{page.server.url}/", "data:", "chrome://", "chrome-untrusted://"))
        ]
        == []
    )
    errors = [entry["message"] for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert [error for error in errors if "since" not in error] == []


class TalkativeAnswerer(ScriptedAnswerer):
    """Never comes to an end."""

    def encode(self, clip: Clip) -> ScriptedSession:
        return TalkativeSession(self, super().encode(clip).clip)


class TalkativeSession(ScriptedSession):
    def ask(self, question: str, options: GenerationOptions, *, keep_history: bool = False) -> Iterator[str]:
        yield "On"
        while True:
            time.sleep(0.1)
            yield " and on"


def test_a_server_that_ends_in_the_middle_of_an_answer_is_told(page: Page) -> None:
    with served(page.videos.parent / "home", TalkativeAnswerer({})) as other:
        page.driver.get(f"{other.url}/video/1")
        page.wait("return document.getElementById('question')")
        page.driver.find_element("id", "question").send_keys(QUESTION + Keys.ENTER)
        page.wait("return document.querySelector('.answer')?.textContent.includes('and on')")
    told = page.wait("return document.querySelector('.answer .bad')?.textContent")
    assert told == " The server does not answer. Is vidsearch serve still running?"


def test_the_end_of_a_video_that_begins_late_is_jumped_to(page: Page) -> None:
    make_video(page.videos / "late.mkv", even_times(300, 25.0, start_s=10))
    home = page.videos.parent / "home"
    assert run_in_process("index", page.videos, env={"VIDSEARCH_HOME": str(home)}).returncode == 0
    [number] = [
        it["video"] for it in page.server.get("/api/videos?limit=100").json["videos"] if it["path"].endswith("late.mkv")
    ]
    page.open(f"/video/{number}", "#curve")
    page.driver.find_element("id", "curve").send_keys(Keys.END)
    page.wait(
        "const video = document.getElementById('player'); "
        "return video.currentSrc.includes('start_s=21.9') && video.readyState > 1"
    )
    assert page.js("return document.getElementById('time').textContent").endswith(" / 0:12")
