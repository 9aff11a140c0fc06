"""The explorable page in a browser: what it shows against Python, controls, keyboard, contrast."""

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import sterling as st
from tests.browsing import colour, drawn, look, settled, text, turn, until, visit
from tests.colours import contrast

LARGEST = 350_000  # bytes
ROWS = ("occupancy", "wrong", "worst", "last", "average", "returns")  # of the table


@pytest.fixture(scope="module")
def standing(driver, address):
    """The page with all details open, for the first tests of this file, which change nothing."""
    look(driver, "light", 1280)
    visit(driver, address)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    return driver


def test_every_control_is_reached_by_keyboard(standing):
    look(standing, "light", 1024)  # on a wide page the focus scrolls on to the next steps of the story
    wanted = "a[href], button:not(:disabled, [tabindex='-1']), input, select, summary, [tabindex='0']"
    controls = standing.execute_script(
        "const reached = window.reached = new Map(), style = (one) => getComputedStyle(one).outlineStyle;"
        "addEventListener('focusin', ({ target }) => reached.set(target, style(target)));"
        "return [...document.querySelectorAll(arguments[0])].filter((one) => one.offsetParent)",
        wanted,
    )
    standing.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB * (len(controls) + 5))
    outlines = standing.execute_script(
        "return arguments[0].map((one) => reached.get(one) ?? 'never')", controls
    )
    assert set(outlines) == {"solid"}
    for one in (*controls, *standing.find_elements(By.TAG_NAME, "canvas")):
        assert one.accessible_name, one.get_attribute("outerHTML")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out(standing, scheme):
    look(standing, scheme, 1280)
    card = colour(standing, "section.card", "backgroundColor")
    inside = ".key|.facing td|.facing caption|.quiet|label|.more summary|.more p|#proof p|#proof .kind|output"
    for selector in (*inside.split("|"), ".code"):
        back = colour(standing, ".code", "backgroundColor") if selector == ".code" else card
        assert contrast(colour(standing, selector, "color"), back) >= 4.5, selector
    ground = colour(standing, "body", "backgroundColor")
    for selector in (".step p", ".dial", ".steps li:nth-child(2) a", ".three p", ".lead"):
        assert contrast(colour(standing, selector, "color"), ground) >= 4.5, selector
    for selector in ("#play", ".steps a[aria-current]", "#verdict", "[aria-pressed=true]"):
        own = colour(standing, selector, "backgroundColor")
        assert contrast(colour(standing, selector, "color"), own) >= 4.5, selector
    # What is drawn: 3 is the bar for shapes (WCAG 2.2, 1.4.11).
    for name in ("--blue", "--vermillion", "--amber", "--purple", "--grey", "--ink"):
        standing.execute_script("document.getElementById('said').style.color = `var(${arguments[0]})`", name)
        assert contrast(colour(standing, "#said", "color"), card) >= 3, name


def test_the_type_has_five_sizes_and_the_text_one_measure(standing):
    look(standing, "light", 1366, height=768)
    script = """
        const sizes = {}, walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const parent = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim()) continue;
            if (parent.closest("script, style, .out-of-sight, .skip")) continue;
            const size = getComputedStyle(parent).fontSize;
            if (parent.checkVisibility()) (sizes[size] ??= []).push(parent.outerHTML.slice(0, 60));
        }
        return sizes;
    """
    sizes = standing.execute_script(script)
    assert len(sizes) <= 5, {size: where[:3] for size, where in sizes.items()}
    longest = """
        const context = document.createElement("canvas").getContext("2d");
        const texts = [...document.querySelectorAll(".step p, .three p, .lead")];
        return texts.filter((one) => one.clientWidth).map((one) => {
            const { fontSize, fontFamily } = getComputedStyle(one);
            context.font = `${fontSize} ${fontFamily}`;
            return one.clientWidth / context.measureText("0").width;
        });
    """
    for width in (1000, 1366, 1920):
        look(standing, "light", width, height=768)
        assert max(standing.execute_script(longest)) <= 65.5


def test_play_runs_pauses_and_keeps_the_address(page):
    page.find_element(By.ID, "play").click()
    assert text(page, "#play") == "Pause"
    until(page, "sterling.page.run.step > 3")
    page.find_element(By.ID, "play").click()
    step = page.execute_script("return sterling.page.run.step")
    assert text(page, "#play") == "Play"
    assert page.current_url.endswith(f"#story=1&at={step}")
    page.find_element(By.ID, "one").click()
    assert page.execute_script("return sterling.page.run.step") == step + 1
    page.find_element(By.ID, "again").click()
    assert page.execute_script("return sterling.page.run.step") == 0
    assert page.current_url.endswith("#story=1")


FRAMES = """
    const done = arguments[0], before = asked, real = frames;
    real(() => real(() => real(() => done(asked - before))));
"""


def test_a_page_where_nothing_moves_asks_for_no_frame(page):
    """Until a button is pressed: then it asks, and rests again."""
    settled(page)
    page.execute_script(
        "window.asked = 0; window.frames = requestAnimationFrame.bind(window);"
        "window.requestAnimationFrame = (call) => { asked += 1; return frames(call); };"
    )
    for button in ("play", "one", "flip", "return", "again"):
        WebDriverWait(page, 10, 0.02).until(lambda one: one.execute_async_script(FRAMES) == 0)
        page.find_element(By.ID, button).click()
        assert page.execute_script("return asked") > 0, button
        if button == "play":
            assert page.execute_async_script(FRAMES) >= 2
            page.find_element(By.ID, button).click()
        page.execute_script("asked = 0")


def test_an_address_plays_and_a_kept_state_stands(driver, address):
    look(driver, "light", 1280, motion="no-preference")
    moving = "sterling.page.mode === 'playing' && sterling.page.run.step > 0"
    for fragment in ("", "#n=8&noise=0.3"):
        driver.get("about:blank")
        driver.get(address + fragment)
        until(driver, moving)
    turn(driver, f"{address}#story=3&at=70", drawn)
    assert driver.execute_script("return sterling.page.run.step") == 70
    look(driver, "light", 1280, motion="reduce")
    visit(driver, address, drawn)
    assert driver.execute_script("return sterling.page.run.step") == 0


def test_what_is_prepared_comes_while_a_run_takes_all_of_its_time(driver, address):
    look(driver, "light", 1280)
    visit(driver, f"{address}#n=8&samples=400&noise=0.5&speed=10000000&steps=1000000000", drawn)
    driver.find_element(By.ID, "play").click()
    until(driver, "sterling.page.tasks === 0")
    assert driver.execute_script("return sterling.page.mode") == "playing"
    assert text(driver, "#proved-returns") == "without end"
    driver.find_element(By.ID, "play").click()


def test_the_link_to_the_certificate_shows_it(page):
    """And the page stays at that step, although it has scrolled past the story."""
    page.find_element(By.CSS_SELECTOR, "#story li:nth-child(5) a").click()
    settled(page)
    page.find_element(By.LINK_TEXT, "Try it on the scales").click()
    assert page.current_url.endswith("#story=5")
    settled(page)
    top = "return document.getElementById('certificate').getBoundingClientRect().top"
    assert page.execute_script(top) < 100
    assert text(page, "#proved-returns") == "without end"
    for _ in range(3):  # to the teacher, back to it, and on to where that is counted
        page.execute_script("document.getElementById('return').click()")
        settled(page)
    WebDriverWait(page, 10, 0.02).until(lambda one: "RECURRENT, proved" in text(one, "#verdict"))


@pytest.mark.parametrize(
    "problem, settings",
    [
        ({"n": 8, "samples": 400, "noise": 0.5}, {}),
        (
            {"n": 6, "samples": 800, "m": 3, "noise": 0.5},
            {"surrogate": "hard_tanh", "schedule": "constant:0.05"},
        ),
        ({"n": 5, "samples": 50, "noise": 1}, {"surrogate": "identity", "schedule": "table:0.5,0.1"}),
    ],
)
def test_what_stands_as_proved_is_proved_by_python(driver, address, problem, settings):
    """Each bound that the table shows is one that Python proves, rounded to the side that is proved too."""
    look(driver, "light", 1280)
    words = {**problem, **settings, "seed": 3}
    turn(driver, f"{address}#" + "&".join(f"{name}={value}" for name, value in words.items()))
    certificate = st.certify(st.Problem(**problem).draw(3), surrogate=settings.get("surrogate", "relu"))
    wrong = certificate.wrong_share
    shown = {row: text(driver, f"#proved-{row}") for row in ROWS}
    bounds = {
        row: float(found[0])
        for row in ROWS
        if (found := re.findall(r"at (?:least|most) ([\d.]+)", shown[row]))
    }
    alone = certificate.balance_occupancy  # the page distinguishes no cases
    assert bounds.get("occupancy", 0) / 100 == pytest.approx(alone, abs=1e-3)
    assert bounds.get("occupancy", 0) / 100 <= alone
    assert sum(wrong) <= bounds["wrong"] == pytest.approx(sum(wrong), abs=0.0101)
    assert max(wrong) <= bounds.get("worst", 100) / 100 == pytest.approx(max(wrong), abs=0.0011)
    assert (shown["average"] == "none, from some step on") == (max(wrong) < 0.5)
    assert (shown["returns"] == "without end") == (alone > 0)


def test_what_is_not_proved_is_not_said(driver, address):
    look(driver, "light", 1280)
    for settings in ("n=8&samples=400&noise=0.5&seed=3&restart=300,0.05", "n=14&noise=0.5"):
        turn(driver, f"{address}#{settings}")
        assert {text(driver, f"#proved-{row}") for row in ROWS} == {"–"}, settings


def test_damping_ends_a_noisy_run_at_the_teacher(driver, address):
    """The slider chooses the step size of `train`; the page claims no law and no certificate then."""
    look(driver, "light", 1280)
    visit(driver, f"{address}#seed=5&n=8&samples=1600&noise=0.5&restart=300,0.05", drawn)
    slider = driver.find_element(By.ID, "damping")
    slider.send_keys(Keys.ARROW_RIGHT * 7)
    settled(driver)
    settings = driver.execute_script("return sterling.page.settings")
    assert (settings["damping"], settings["schedule"], settings["restart"]) == (0.5, "damped", "")
    assert not driver.find_element(By.ID, "restart").is_enabled()
    driver.execute_script("sterling.page.run.advance(300)")
    instance = st.Problem(n=8, samples=1600, noise=0.5).draw(5)
    orbit = st.train(instance, 300, optimizer=st.SGD(damping=0.5), init=5)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert driver.execute_script("return sterling.page.run.verdict()") == "OPTIMAL"
    assert driver.execute_script("return sterling.page.run.anchor") == orbit.last_flip
    for row in ("law-occupancy", "proved-worst"):
        assert text(driver, f"#{row}") == "–"
    slider.send_keys(Keys.ARROW_LEFT * 7)
    settled(driver)
    settings = driver.execute_script("return sterling.page.settings")
    assert (settings["damping"], settings["schedule"]) == (0, "power:0.5,0.5")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_shifts(driver, address, width):
    """By the browser's own entries: the layout stays while data and proof come, and while it plays."""
    look(driver, "light", width)
    visit(driver, f"{address}#story=3")
    driver.find_element(By.ID, "play").click()
    until(driver, "sterling.page.run.step > 5")
    driver.find_element(By.ID, "play").click()
    script = """
        const done = arguments[0];
        const unasked = (list) => list.getEntries().filter((one) => !one.hadRecentInput);
        const sum = (list) => unasked(list).map((one) => one.value).reduce((a, b) => a + b, 0);
        const watcher = new PerformanceObserver((list) => done(sum(list)));
        watcher.observe({type: "layout-shift", buffered: true});
        setTimeout(() => done(0), 100);  // no shift, no entry
    """
    assert driver.execute_async_script(script) < 0.02


def test_little_motion_is_asked_for_and_given(driver, address):
    look(driver, "light", 1280, motion="reduce")
    turn(driver, f"{address}#story=3&at=100", drawn)
    assert driver.execute_script("return matchMedia('(prefers-reduced-motion: reduce)').matches")
    script = """
        const canvas = document.getElementById("student-bits"), done = arguments[0];
        const first = canvas.toDataURL();
        requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() =>
            done(first === canvas.toDataURL()))));
    """
    driver.find_element(By.ID, "flip").click()
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert driver.execute_async_script(script), "the mark of a flip fades although nothing shall move"


def test_one_small_file_that_asks_for_nothing(address):
    path = Path(address.removeprefix("file://"))
    assert path.stat().st_size < LARGEST
    source = path.read_text("utf-8")
    links = set(re.findall(r"https?://[^\s\"'<>)]+", source))
    namespace = "http://www.w3.org/2000/svg"  # a name: nothing is loaded from there
    assert links - {namespace} == {"https://arxiv.org/abs/2505.18113"}
    assert "default-src 'none'" in source
    for word in ("src=", "@import", "fetch(", "XMLHttpRequest", "url("):
        assert word not in source, word
