"""The explorable page against its bars: `python -m benchmarks.explore [--quick] [--repeat 3]`.

It runs headless Chromium, which draws without a graphics card. It measures the steps a second of the page's
engine at n = 32, N = 1600, σ = 0.5 from an empty table of gradients, the frames a second while the page
plays, and its longest task at 100,000 steps a second (the median of five plays; the browser reports tasks
above 50 ms). The latent weights at the end must equal those of `train`.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

import sterling as st
from benchmarks.report import Options, Row, main
from sterling.report.explore import write_explorable
from tests.browsing import MISSING, look, start, visit

N, SAMPLES, NOISE, SEED = 32, 1600, 0.5, 0
STEPS = 4_000_000
FRAMES_FOR = 5000  # milliseconds
STEPS_BAR, FRAMES_BAR = 1e6, 50
SMOOTH, SMOOTH_PLAYS = 100_000, 5  # steps a second, plays
SMOOTH_BAR, TASK_BAR = 59, 50  # frames a second of a display with 60; milliseconds

#: Addresses of the page whose frames are counted.
PLAYS = {
    "as fast as it goes": f"n={N}&samples={SAMPLES}&speed=10000000&steps=1000000000",
    "2,000 steps a second": f"n={N}&samples={SAMPLES}&speed=2000",
    "the landscape, as fast as it goes": "story=4&speed=10000000&steps=1000000000",
    "128 weights": "story=7",
}

_RUN = """
    const [problem, steps] = arguments, data = sterling.draw(problem);
    const schedule = {kind: "power", rate: 0.5, exponent: 0.5};
    const run = new sterling.Run(data, {surrogate: "relu", schedule, init: 0}), begun = performance.now();
    run.advance(steps);
    return [(performance.now() - begun) / 1000, [...run.latents()]];
"""
_FRAMES = """
    const [length, done] = arguments, step = sterling.page.run.step;
    let first = null, frames = 0, longest = 0;
    const watcher = new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
    });
    watcher.observe({entryTypes: ["longtask"]});
    requestAnimationFrame(function count(now) {
        first ??= now;
        if (now - first < length) {
            frames++;
            requestAnimationFrame(count);
        } else {
            watcher.disconnect();
            const rate = 1000 / (now - first);
            done([rate * frames, rate * (sterling.page.run.step - step), longest]);
        }
    });
"""


def speed(driver, address: str, options: Options) -> Row:
    """Measure steps a second of the engine, in new runs on new tables."""
    visit(driver, address)
    steps = STEPS // 20 if options.quick else STEPS
    problem = {"n": N, "samples": SAMPLES, "m": 1, "noise": NOISE, "seed": SEED}
    times, latents = [], []
    for _ in range(options.repeat):
        seconds, latent = driver.execute_script(_RUN, problem, steps)
        times.append(seconds)
        latents.append(latent)
    orbit = st.train(
        st.Problem(n=N, samples=SAMPLES, noise=NOISE).draw(SEED),
        steps=steps,
        schedule=st.Power(0.5, 0.5),
        init=0,
        record=(),
    )
    return Row(
        title=f"the page's engine, n={N} N={SAMPLES} σ={NOISE}, {steps:,} steps",
        measured=steps / min(times),
        unit="steps/s",
        bar=STEPS_BAR,
        runs={"run": times},
        note=", ".join(f"{steps / seconds:,.0f}" for seconds in times) + " steps/s",
        failure=""
        if all(latent == orbit.latent.tolist() for latent in latents)
        else "latents differ from train's",
    )


def frames(driver, address: str, options: Options) -> Row:
    """Measure frames a second: the worst of several plays, each the best of its repetitions."""
    length = FRAMES_FOR // 5 if options.quick else FRAMES_FOR
    rates: dict[str, list[float]] = {}
    paces: dict[str, float] = {}
    for name, fragment in PLAYS.items():
        rates[name] = []
        for _ in range(options.repeat):
            rate, pace, _ = _play(driver, f"{address}#{fragment}", length)
            rates[name].append(rate)
            paces[name] = max(pace, paces.get(name, 0))
    return Row(
        title="frames while it plays, the worst of four plays",
        measured=min(map(max, rates.values())),
        unit="frames/s",
        bar=FRAMES_BAR,
        aim=60,
        runs={f"frames/s, {name}": found for name, found in rates.items()},
        note="; ".join(
            f"{name}: {min(found):.1f} to {max(found):.1f} frames/s at {paces[name]:,.0f} steps/s"
            for name, found in rates.items()
        ),
    )


def smooth(driver, address: str, options: Options) -> Row:
    """Return the frames a second at 100,000 steps a second, the median of five plays; no task may be long."""
    length = FRAMES_FOR // 5 if options.quick else FRAMES_FOR
    fragment = f"n={N}&samples={SAMPLES}&speed={SMOOTH}&steps=1000000000"
    plays = [_play(driver, f"{address}#{fragment}", length) for _ in range(SMOOTH_PLAYS)]
    rates, paces, tasks = (list(one) for one in zip(*plays, strict=True))
    longest = float(np.median(tasks))
    return Row(
        title=f"frames at {SMOOTH:,} steps a second, the median of {SMOOTH_PLAYS} plays",
        measured=float(np.median(rates)),
        unit="frames/s",
        bar=SMOOTH_BAR,
        aim=60,
        runs={"frames/s": rates, "longest task above 50 ms, milliseconds": tasks, "steps/s": paces},
        note=f"{np.median(paces):,.0f} steps/s; "
        + (f"the longest task takes {longest:.0f} ms" if longest else f"no task takes {TASK_BAR} ms"),
        failure=f"a task takes {longest:.0f} ms, more than {TASK_BAR}" if longest > TASK_BAR else "",
    )


def _play(driver, address: str, length: int) -> tuple[float, float, float]:
    """Return frames a second, steps a second and the longest task that the browser reports, 0 for none."""
    driver.get("about:blank")
    driver.get(address)
    prepared = "const page = sterling.page; return page.tasks === 0 && page.mode !== 'preparing' && page.mode"
    mode = WebDriverWait(driver, 60, 0.02).until(lambda one: one.execute_script(prepared))
    if mode == "still":
        driver.find_element("id", "play").click()
    rate, pace, longest = driver.execute_async_script(_FRAMES, length)
    if not pace:
        raise SystemExit(
            f"the page does not play ({address.partition('#')[2]}), so its frames cannot be counted"
        )
    return rate, pace, longest


@cache
def opened() -> tuple[WebDriver, str]:
    """Return a browser, which ends with this process, and the address of the page."""
    driver = start()
    if driver is None:
        raise RuntimeError(MISSING)
    folder = tempfile.TemporaryDirectory()
    atexit.register(lambda: (driver.quit(), folder.cleanup()))
    look(driver, "light", 1280, motion="no-preference")
    driver.set_script_timeout(600)
    return driver, write_explorable(Path(folder.name) / "explore.html").as_uri()


CASES = {
    name: lambda options, measure=measure: [measure(*opened(), options)]
    for name, measure in {"steps": speed, "frames": frames, "smooth": smooth}.items()
}

if __name__ == "__main__":
    sys.exit(main("explore", CASES, __doc__))
