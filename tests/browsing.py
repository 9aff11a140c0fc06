"""Headless Chromium for tests and benchmarks: starting it, its looks, colours as they are shown."""

import shutil

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.colours import to_hex

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "the tests of pages need Chromium: install it, on Debian or Ubuntu with "
    "`apt-get install chromium chromium-driver`"
)


def start():
    """Return a driver of headless Chromium, or None if it is not installed."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    service = shutil.which("chromedriver")
    if browser is None or service is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(service))


def look(driver, scheme, width, motion="reduce", media="", height=844):
    """Set colour scheme, size and medium; by default nothing moves, as by scrolling under a click."""
    wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


GO = """
    const [fragment, done] = arguments;
    addEventListener("hashchange", () => done(), {once: true});
    location.hash = fragment;
"""


def visit(driver, address, wait=None):
    """Open the explorable page afresh, and wait until it shows what the address asks for, and its proofs."""
    driver.get("about:blank")  # an address that differs in its fragment only would not load the page again
    driver.get(address)
    (wait or settled)(driver)


def turn(driver, address, wait=None):
    """Open an address on the page as it stands, if it does, which takes half the time."""
    page, _, fragment = address.partition("#")
    there, _, before = driver.current_url.partition("#")
    if there != page or before == fragment:
        visit(driver, address, wait)
        return
    driver.execute_async_script(GO, fragment)
    (wait or settled)(driver)


def until(driver, script, *arguments, seconds=60):
    """Wait until a script returns something true."""
    WebDriverWait(driver, seconds, 0.02).until(lambda one: one.execute_script(f"return {script}", *arguments))


def drawn(driver):
    """Wait until the explorable page stands where it was asked to go; it may still look for proofs."""
    until(driver, "sterling.page.mode === 'still'")


def settled(driver):
    """Wait until the explorable page has prepared what it shows, and reached where it was asked to go."""
    until(driver, "sterling.page.mode === 'still' && sterling.page.tasks === 0")


def text(driver, selector):
    """Return the text of an element."""
    return driver.find_element(By.CSS_SELECTOR, selector).text


def colour(driver, selector, name):
    """Return a computed colour as #rrggbb."""
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    value = driver.execute_script(script, selector, name)
    assert value.startswith("rgb("), value
    return to_hex([int(part) / 255 for part in value[4:-1].split(",")])
