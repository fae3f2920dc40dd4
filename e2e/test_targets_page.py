"""`/targets` in headless Chromium, of a real operator with real targets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from e2e.harness.browser import Browser, NoBrowser, axe, ensure_chromium, open_browser
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

_HERDS, _HERD = 3, 100
"""Objects with static targets, and targets of each."""
_EVIL = "<script>window.hacked = 1</script><img src=http://127.0.0.1:1/x onerror='window.hacked = 1'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Skips what needs it where Chromium can't be had; with REQUIRE_BROWSER=1 that is a failure."""
    try:
        ensure_chromium()
        axe()
    except NoBrowser as reason:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"no browser: {reason}")
        pytest.skip(f"NO BROWSER, THE TARGETS PAGE IS NOT TESTED: {reason}")
    with open_browser() as browser:
        yield browser


def _object(name: str, targets: list[dict[str, Any]], **spec: Any) -> str:
    off = {name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")}
    return json.dumps(
        {
            "apiVersion": "pyroscope-operator.dev/v1alpha1",
            "kind": "PyroscopeScrape",
            "metadata": {"name": name, "namespace": "files"},
            "spec": {"staticTargets": targets, "profilingConfig": off, **spec},
        }
    )


@pytest.fixture(scope="module")
def shop(binaries: None, receiver: Receiver, folder: Path) -> Iterator[tuple[Operator, DemoApp]]:
    """An operator with hundreds of targets at one process, and one at a process of its own, which is given, too."""
    herd = DemoApp("herd", folder, "0.0.0.0", free_port(), record=False)
    lone = DemoApp("lone", folder, "127.0.61.1", record=False)
    documents = [
        _object(
            f"herd-{number}", [{"address": f"127.0.6{number + 2}.{n}:{herd.port}"} for n in range(1, _HERD + 1)], interval="5s"
        )
        for number in range(_HERDS)
    ]
    label = {"service_name": "lonely", "note": _EVIL}
    documents.append(_object("lone", [{"address": lone.address, "labels": label}], interval="1s", params={"token": ["s3cr3t"]}))
    documents.append(_object("wrong", [{"address": lone.address}], intervall="1s"))
    manifest = folder / "objects.yaml"
    manifest.write_text("---\n".join(f"{document}\n" for document in documents))
    operator = Operator(folder, "--standalone", str(manifest), "--pyroscope-url", receiver.url, name="page")
    operator.wait_ready()
    eventually(lambda: all(one["scrapes"] for one in operator.scrapes().values()), "every target was scraped", 60)
    yield operator, lone
    if lone.running:
        lone.stop()
    herd.stop()
    assert operator.stop() == 0, operator.log_tail()


@pytest.fixture
def page(browser: Browser, shop: tuple[Operator, DemoApp]) -> Iterator[Browser]:
    """The page, as it opens; the browser must have nothing to complain of and ask nobody else."""
    browser.size(1280, 1000)
    browser.scheme("light")
    browser.scripts(True)
    browser.open("about:blank")
    browser.complaints(), browser.requests()
    browser.open(f"{shop[0].url}/targets")
    yield browser
    assert not browser.complaints()
    asked = {url for url in browser.requests() if not url.startswith(("data:", "about:"))}
    assert asked and all(url.startswith(f"{shop[0].url}/targets") for url in asked), asked


def _find(page: Browser, css: str) -> list[WebElement]:
    return page.driver.find_elements(By.CSS_SELECTOR, css)


def _text(page: Browser) -> str:
    return page.driver.find_element(By.TAG_NAME, "main").text


def _names(page: Browser) -> list[str]:
    """The targets on the page."""
    return [found.text for found in _find(page, "th[scope=rowgroup] b")]


def _go(page: Browser, act: Callable[[], None]) -> None:
    """Do what leads to another page, and wait for that: only then does WebDriver know that there is one to wait for."""
    before = page.driver.find_element(By.TAG_NAME, "html").id
    act()

    def elsewhere() -> bool:
        try:
            return page.driver.find_element(By.TAG_NAME, "html").id != before
        except WebDriverException:  # in the midst of it
            return False

    eventually(elsewhere, "the next page", 30)


def _filter(page: Browser, q: str = "", state: str = "", namespace: str = "") -> None:
    """As a person does it: fill in, and press the button."""
    for name, value in (("q", q), ("namespace", namespace)):
        field = page.driver.find_element(By.ID, name)
        field.clear()
        field.send_keys(value)
    Select(page.driver.find_element(By.ID, "state")).select_by_value(state)
    _go(page, page.driver.find_element(By.CSS_SELECTOR, "form button").click)


def _follow(page: Browser, text: str) -> None:
    _go(page, page.driver.find_element(By.LINK_TEXT, text).click)


def _walk(page: Browser) -> list[str]:
    """The targets of this page and all after it."""
    names = _names(page)
    while _find(page, "a[rel=next]"):
        _follow(page, "Next")
        names += _names(page)
    return names


def test_filters(page: Browser, shop: tuple[Operator, DemoApp]) -> None:
    assert "1–50 of 302" in _text(page)
    _filter(page, q="127.0.62.77:")
    assert [name.split(":")[0] for name in _names(page)] == ["127.0.62.77"]
    assert "1–1 of 1 that match" in _text(page)
    assert "q=127.0.62.77%3A" in page.driver.current_url
    assert page.driver.find_element(By.ID, "q").get_attribute("value") == "127.0.62.77:"
    _follow(page, "Clear")
    _filter(page, q="lonely", state="up")
    assert _names(page) == [shop[1].address]
    _filter(page, state="rejected")
    assert "files/wrong" in _text(page) and "did you mean interval" in _text(page)
    _filter(page, namespace="nowhere")
    assert "Nothing matches." in _text(page)
    _follow(page, "Show everything")
    assert "1–50 of 302" in _text(page)


def test_paging(page: Browser) -> None:
    _filter(page, q="herd-")
    assert "1–50 of 300 that match" in _text(page)
    names = _walk(page)
    assert len(names) == len(set(names)) == _HERDS * _HERD
    assert "Page 6 of 6" in _text(page) and "page=6" in page.driver.current_url
    _follow(page, "First")
    assert _names(page) == names[:50]


def test_what_a_target_tells(page: Browser, shop: tuple[Operator, DemoApp]) -> None:
    _filter(page, q="lonely")
    row = page.driver.find_element(By.CSS_SELECTOR, ".targets tbody tr").text
    assert "goroutine" in row and "up" in row and " ago" in row and "kB" in row
    labels = page.driver.find_element(By.CSS_SELECTOR, ".labels .both")
    assert not labels.is_displayed()
    page.driver.find_element(By.CSS_SELECTOR, ".labels summary").send_keys(Keys.ENTER)
    assert labels.is_displayed()
    series, before = (found.text.split("\n") for found in _find(page, ".labels .both > div"))
    assert series[0] == "On the series" and "lonely" in series and _EVIL in series
    assert before[0] == "Before relabeling" and "__address__" in before and shop[1].address in before
    assert "__param_token" in before and "s3cr3t" not in page.driver.page_source
    assert page.driver.execute_script("return window.hacked") is None


def test_a_target_that_goes_down_and_comes_back(page: Browser, shop: tuple[Operator, DemoApp], folder: Path) -> None:
    operator, lone = shop
    _filter(page, q="lonely", state="up")
    assert _names(page) == [lone.address]
    lone.stop()

    def told(state: str) -> str:
        page.open(f"{operator.url}/targets?q=lonely&state={state}")
        assert _names(page) == [lone.address], f"not yet {state}"
        return _text(page)

    text = eventually(lambda: told("down"), "it is told to be down", 30, 0.5)
    assert "ConnectFailed: cannot connect: connection refused" in text
    assert "scrapes failed, last success" in text and "TargetsDown" in text
    assert _find(page, "th[scope=rowgroup] .badge")[0].text == "down"
    again = DemoApp("lone-again", folder, "127.0.61.1", record=False)
    try:
        assert "ConnectFailed" not in eventually(lambda: told("up"), "it is told to be up", 30, 0.5)
    finally:
        again.stop()
    eventually(lambda: told("down"), "it is down once more, for the tests after this", 30, 0.5)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)], ids=["desktop", "phone"])
@pytest.mark.parametrize("query", ["?q=lonely", "?state=rejected", "?q=nothing+like+it", "?size=20&page=2"])
def test_accessibility(page: Browser, shop: tuple[Operator, DemoApp], scheme: str, width: int, query: str) -> None:
    page.size(width, 844)
    page.scheme(scheme)
    page.open(f"{shop[0].url}/targets{query}")
    page.driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.violations() == []
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.driver.execute_script(overflow) == 0


def test_dark_and_light_differ(page: Browser) -> None:
    def colours() -> list[int]:
        """Red of background and text."""
        script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        return [int(colour.split("(")[1].split(",")[0]) for colour in page.driver.execute_script(script)]

    light = colours()
    page.scheme("dark")
    dark = colours()
    assert (light[0] > 200, light[1] < 60) == (dark[0] < 60, dark[1] > 200) == (True, True)


def test_the_keyboard_is_enough(page: Browser) -> None:
    def focused() -> WebElement:
        """What the next press of Tab leads to; it must be seen to have the focus."""
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        found: WebElement = page.driver.switch_to.active_element
        assert found.is_displayed() and found.value_of_css_property("outline-style") == "solid", found.get_attribute("outerHTML")
        return found

    assert focused().text == "Skip to the list of targets"
    assert {"q", "namespace", "state"} <= {focused().get_attribute("id") for _ in range(15)}
    _go(page, lambda: page.driver.find_element(By.ID, "q").send_keys("lonely", Keys.ENTER))
    assert "1–1 of 1 that match" in _text(page)


def test_without_javascript(page: Browser, shop: tuple[Operator, DemoApp]) -> None:
    assert not _find(page, "script")
    page.scripts(False)
    page.open(f"{shop[0].url}/targets")
    _filter(page, q="herd-1", state="up")
    assert "1–50 of 100 that match" in _text(page)
    _follow(page, "Next")
    assert "51–100 of 100 that match" in _text(page)
    _find(page, ".labels summary")[0].click()
    assert "Before relabeling" in _find(page, ".labels")[0].text


def test_the_json_beside_it(page: Browser, shop: tuple[Operator, DemoApp]) -> None:
    _filter(page, q="herd-2")
    _follow(page, "Next")
    link = page.driver.find_element(By.LINK_TEXT, "JSON").get_attribute("href") or ""
    found = shop[0].get(link.removeprefix(shop[0].url)).raise_for_status().json()
    assert found["page"] == {"number": 2, "of": 2, "size": 50, "matching": 100}
    (item,) = found["objects"]
    assert [target["address"] for target in item["targets"]] == _names(page)


def test_pods_of_a_cluster(browser: Browser, cluster: Cluster, operator: Operator, namespace: str, start_app: Any) -> None:
    app = start_app("web")
    cluster.run_pod(namespace, PodSpec("web-0", app.ip, {"app": "web", "team": "blue"}))
    cluster.run_pod(namespace, PodSpec("web-1", "127.0.61.9", {"app": "web"}, phase="Pending", ready=False))
    cluster.apply(
        "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrape\n"
        f"metadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{matchLabels: {{app: web}}}}, interval: 2s}}\n"
    )
    browser.size(1280, 1000)

    def told(query: str) -> str:
        browser.open(f"{operator.url}/targets?namespace={namespace}&{query}")
        return _text(browser)

    eventually(lambda: "web-0\napp · " in told("state=up&q=blue"), "the pod is told to be up", 60, 0.5)
    assert f"{namespace}/web" in _text(browser) and "process_cpu" in _text(browser)
    assert "web-1 NotRunning phase Pending" in told("state=dropped").replace("\n", " ")
    assert "web-0" not in [found.text for found in _find(browser, ".drops th")]
