"""The engine of the explorable page in a real browser, against Python: flip for flip, law for law."""

import json

import numpy as np
import pytest

import sterling as st
from sterling.schedules import schedule_from_dict
from tests.browsing import look, visit
from tests.support import PIECEWISE

SHAPES = (  # n, samples, m, noise
    (1, 5, 1, 0), (1, 40, 1, 0.5), (2, 30, 3, 0.5), (3, 50, 1, 1), (5, 80, 3, 0), (7, 100, 1, 0.25),
    (8, 100, 1, 0.5), (12, 400, 3, 0.5), (16, 400, 1, 0.5), (16, 300, 1, 0), (24, 500, 3, 1),
    (31, 700, 1, 0.5), (32, 1600, 1, 0.5), (33, 300, 1, 0.1), (48, 900, 3, 0.5), (63, 500, 1, 0),
    (64, 5000, 1, 0.5), (64, 400, 1, 0),
)  # fmt: skip
SCHEDULES = (
    {"kind": "power", "rate": 0.5, "exponent": 0.5},
    {"kind": "constant", "rate": 0.05},
    {"kind": "table", "rates": [0.5, 0.25, 0.125, 0.1, 0.07]},
    {"kind": "power", "rate": 0.3, "exponent": 1.0},
    {"kind": "power", "rate": 1.0, "exponent": 0.3},
    {"kind": "power", "rate": 0.2, "exponent": 0.8},
)
RESTARTS = (None, None, {"every": 100, "scale": 0.1}, None, {"every": 17, "scale": 0.5})


def setting(number):
    """Return one of the settings that both engines go through: each part goes its own round."""
    n, samples, m, noise = SHAPES[number * 7 % len(SHAPES)]
    seed = number if number % 5 else number * 123_456_789_012  # seeds of more than 32 bits as well
    return {
        "problem": {"n": n, "samples": samples, "m": m, "noise": noise, "seed": seed},
        "run": {
            "surrogate": PIECEWISE[number % 4],
            "schedule": SCHEDULES[number // 2 % 6],
            "restart": RESTARTS[number % 5],
            "init": 3 * number,
        },
        "steps": 1000 if n > 40 else 6000,  # long enough for the expansions of the mass
    }


@pytest.fixture
def engine(driver, address):
    """The page as the test before left it: what its functions compute does not depend on what it shows."""
    if not driver.current_url.startswith(address):
        look(driver, "light", 1280)  # a page that nothing may move in does not play on its own
        visit(driver, address)
    driver.get_log("browser")
    yield driver
    assert driver.get_log("browser") == []


MAKE = """
    const {problem, run, steps} = arguments[0];
    const data = sterling.draw(problem), done = new sterling.Run(data, {...run, log: true});
    done.advance(steps);
    const shares = Array.from({length: data.n}, (_, k) => done.wrongShare(k));
    return JSON.stringify({
        data: [[...data.rows], [...data.labels], [...data.teacher]],
        start: typeof run.init === "number" ? [...sterling.initialLatent(data.n, run.init)] : run.init,
        flips: done.flips, latent: [...done.latents()], average: [...done.average()], shares,
        verdict: done.verdict(), ...done.visited(), distance: done.distance,
    });
"""


def drawn(problem):
    return st.Problem(**{k: v for k, v in problem.items() if k != "seed"}).draw(problem["seed"])


def both(engine, given):
    """Return what the page's engine and Python's make of a setting, after what must be equal."""
    there = json.loads(engine.execute_script(MAKE, given))
    instance, run = drawn(given["problem"]), given["run"]
    orbit = st.train(
        instance,
        steps=given["steps"],
        init=run["init"],
        schedule=schedule_from_dict(run["schedule"]),
        surrogate=run["surrogate"],
        restart=run["restart"] and st.Restart(**run["restart"]),
        optimizer=st.SGD(damping=run.get("damping", 0)),
    )
    flips = np.column_stack([orbit.flips[name] for name in ("step", "coordinate", "sign")])
    assert there["flips"] == flips.ravel().tolist()
    np.testing.assert_allclose(there["average"], orbit.ergodic_mean * np.sqrt(instance.n), rtol=0, atol=1e-12)
    unsaid = orbit.verdict.name in ("WANDERING", "CHATTERING")
    assert there["verdict"] == orbit.verdict.name or (there["verdict"] is None and unsaid)
    return there, orbit, instance


@pytest.mark.parametrize("number", range(20))
def test_the_same_orbit_as_in_python(engine, number):
    """Same seed, same data, same flips at the same steps, same latents, to the last bit."""
    there, orbit, instance = both(engine, setting(number))
    inputs, labels = instance.grid.rows[:, : instance.n].ravel(), instance.label_codes
    assert there["data"] == [inputs.tolist(), labels.tolist(), instance.teacher.tolist()]
    assert there["start"] == orbit.start_latent.tolist()
    assert there["latent"] == orbit.latent.tolist()
    assert there["shares"] == orbit.wrong_share.tolist()
    assert (there["visits"], there["occupied"]) == (orbit.visits, round(orbit.occupancy * orbit.steps))
    assert there["returns"] == len(orbit.return_times)
    assert there["firstHit"] == (-1 if orbit.first_hit is None else orbit.first_hit)
    assert there["distance"] == orbit.errors


@pytest.mark.parametrize("number", range(20))
def test_the_same_damped_orbit_as_in_python(engine, number):
    """Damped runs as well. With finite windows the last bits of S may differ from Python's."""
    given = setting(number + 100)
    run = given["run"]
    damping = run["damping"] = (0.5, 0.2, 0.8, 0.1, 1.5)[number % 5]
    run["restart"], run["surrogate"] = None, run["surrogate"] if number % 3 else "identity"
    if number % 4 == 0:
        instance = drawn(given["problem"])
        hold = damping * st.theory.signal(instance, surrogate=run["surrogate"])
        run["schedule"] = {"kind": "constant", "rate": instance.readout_norm2 / (30 * hold)}
    there, orbit, _ = both(engine, given)
    if run["surrogate"] in ("relu", "identity"):
        assert there["latent"] == orbit.latent.tolist()
    np.testing.assert_allclose(there["latent"], orbit.latent, rtol=0, atol=1e-12 * np.abs(orbit.latent).max())


@pytest.mark.parametrize("number", range(20))
def test_the_same_orbit_from_latents_of_ones_own(engine, number):
    """As after dragging beads: some latents of a start moved to any float, zero, or within rounding of it."""
    given = setting(number + 200)
    run, n = given["run"], given["problem"]["n"]
    rng = np.random.default_rng([20261201, number])
    latent = rng.normal(size=n) / np.sqrt(n)
    latent[rng.integers(n, size=3)] = np.array([-6, 1, 6]) * rng.random(3) ** 2 / np.sqrt(n)
    latent[rng.integers(n)] = (0.0, -5e-324, 1e-17, -1e-300)[number % 4]
    run["init"], run["damping"] = latent.tolist(), (0, 0, 0.5, 0.25)[number // 4 % 4]
    if run["damping"]:
        run["restart"], run["surrogate"] = None, ("relu", "identity")[number % 2]
    there, orbit, _ = both(engine, given)
    assert there["latent"] == orbit.latent.tolist()
    assert there["shares"] == orbit.wrong_share.tolist()


def test_arrows_are_whole_steps(engine):
    """A step moves each latent by the step size times what the arrows show, damping included."""
    script = """
        const [damping, rate] = arguments, schedule = {kind: "constant", rate};
        const data = sterling.draw({n: 12, samples: 400, m: 1, noise: 0.5, seed: 3});
        const run = new sterling.Run(data, {surrogate: "relu", schedule, damping, init: 1});
        const found = [];
        for (let step = 0; step < 40; step++) {
            const forces = run.forces(), before = run.latents();
            run.advance(step + 1);
            found.push(...run.latents().map((u, k) => before[k] - u - rate * forces[k]));
        }
        return Math.max(...found.map(Math.abs));
    """
    for damping in (0, 0.5):
        assert engine.execute_script(script, damping, 0.05) < 1e-14


def test_large_data_are_drawn_in_pieces(engine):
    """Each of the three passes yields after 65,536 codes, and the data stay the same."""
    script = """
        const work = sterling.drawing({...arguments[0], m: 1, seed: 3});
        let pieces = 0, step = work.next();
        for (; !step.done; step = work.next()) pieces++;
        const { rows, columns, labels } = step.value;
        return JSON.stringify([pieces, [...rows], [...columns], [...labels]]);
    """
    problem = {"n": 256, "samples": 1100, "noise": 0.5}
    pieces, rows, columns, labels = json.loads(engine.execute_script(script, problem))
    instance = st.Problem(**problem).draw(3)
    expected = instance.grid.rows[:, :256]
    assert (np.reshape(rows, (-1, 256)) == expected).all()
    assert (np.reshape(columns, (256, -1)) == expected.T).all()
    assert labels == instance.label_codes.tolist()
    assert pieces >= 3 * (256 * 1100 // 65536)


def test_a_copy_of_a_run_goes_on_like_the_run(engine):
    """Going back to a copy gives the same flips again, also after the table of gradients was begun anew."""
    script = """
        const data = sterling.draw({n: 48, samples: 300, m: 1, noise: 0.5, seed: 1});
        const schedule = {kind: "power", rate: 0.5, exponent: 0.5}, out = [];
        for (const more of [{}, {damping: 0.2}, {restart: {every: 70, scale: 0.05}}]) {
            const run = new sterling.Run(data, {surrogate: "relu", schedule, init: 2, log: true, ...more});
            run.gradients.most = 20;  // states whose gradients are remembered
            run.gradients.resize(20, true);
            run.resume().advance(311);
            const copy = run.copy();
            run.advance(1200);
            copy.resume().advance(1200);
            const all = (one) => JSON.stringify([one.flips, [...one.latents()], [...one.average()],
                one.visited(), [...one.history.area], one.history.turnsOf(5, 1100)]);
            out.push(all(run) === all(copy), run.flips.length > 300);
        }
        return out;
    """
    assert engine.execute_script(script) == [True] * 6


@pytest.mark.parametrize("surrogate", PIECEWISE)
def test_the_laws_are_those_of_the_theory(engine, surrogate):
    for n, m, seed in ((1, 1, 0), (6, 3, 1), (20, 1, 2)):
        script = """
            const law = sterling.expectation(sterling.draw(arguments[0]), arguments[1]);
            return [[...law.shares], law.occupancy];
        """
        problem = {"n": n, "samples": 50 * n, "m": m, "noise": 0.5}
        shares, occupancy = engine.execute_script(script, {**problem, "seed": seed}, surrogate)
        instance = st.Problem(**problem).draw(seed)
        expected = st.theory.wrong_share(instance, method="signal", surrogate=surrogate)
        np.testing.assert_allclose(shares, expected, rtol=1e-12, atol=1e-13)
        assert occupancy == pytest.approx(st.theory.occupancy(instance, method="signal", surrogate=surrogate))


@pytest.mark.parametrize(
    "problem, surrogate",
    [
        ({"n": 8, "samples": 400, "m": 1, "noise": 0.5}, "relu"),
        ({"n": 6, "samples": 100, "m": 3, "noise": 0.5}, "hard_tanh"),
        ({"n": 7, "samples": 30, "m": 1, "noise": 0}, "identity"),
        ({"n": 6, "samples": 12, "m": 1, "noise": 1}, "clipped_relu"),
        ({"n": 1, "samples": 9, "m": 1, "noise": 0.5}, "relu"),
    ],
)
def test_landscape_and_certificate_are_those_of_python(engine, problem, surrogate):
    """What is claimed is a proof: never more than Python proves, and less by roundings only."""
    script = """
        const all = (work) => {
            for (let step = work.next(); ; step = work.next()) if (step.done) return step.value;
        };
        const data = sterling.draw(arguments[0]), land = all(sterling.sweeping(data, arguments[1]));
        const losses = Array.from(land.distances, (_, state) => land.loss(state));
        return [losses, land.absorbing, all(sterling.certifying(data, land))];
    """
    losses, absorbing, proof = engine.execute_script(script, {**problem, "seed": 3}, surrogate)
    instance = st.Problem(**problem).draw(3)
    for state in range(2**instance.n):
        signs = np.array([1 if state >> k & 1 else -1 for k in range(instance.n)])
        assert losses[state] == pytest.approx(instance.loss(signs), rel=1e-14, abs=1e-15)
        held = bool((signs * instance.gradient(signs, surrogate) <= 0).all())
        assert held == (state in absorbing)
    for damping in (0.3, 1.0):
        hold = damping * st.theory.signal(instance, surrogate=surrogate)
        script = """
            const work = sterling.sweeping(sterling.draw(arguments[0]), arguments[1], arguments[2]);
            for (let step = work.next(); ; step = work.next()) if (step.done) return step.value.absorbing;
        """
        held = engine.execute_script(script, {**problem, "seed": 3}, surrogate, hold)
        assert sorted(held) == st.landscape(instance, surrogate, damping=damping).absorbing_states.tolist()
    certificate = st.certify(instance, surrogate=surrogate)
    assert proof["absorbs"] == certificate.absorbs
    alone = certificate.balance_occupancy  # the page distinguishes no cases
    assert alone - 1e-6 <= proof["occupancy"] <= alone + 1e-12
    for bound, other in zip(proof["wrong"], certificate.wrong_share, strict=True):
        assert other - 1e-12 <= bound <= other + 1e-6
