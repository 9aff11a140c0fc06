"""A killed run goes on from its checkpoint to the same result; a bad checkpoint or a full disk is said."""

import json

import pytest

import sterling as st
from tests.crash.processes import allow_small_files_only, finish, start, wait_until
from tests.support import refused

STEPS = 120_000
RUN = ["train", "--n", "50", "--samples", "600", "--noise", "0.5", "--steps", str(STEPS), "--json", "--quiet"]
OFTEN = ["--checkpoint-every", "0.01"]


def result(text):
    """Return a result without what depends on time and on pauses."""
    values = json.loads(text)
    for cost in ("seconds", "states", "passes"):
        del values["stats"][cost]
    return values


def test_a_killed_command_goes_on_to_the_result_of_an_undisturbed_one(tmp_path):
    path = tmp_path / "run.orbit"
    with start(*RUN, "--checkpoint", path, *OFTEN) as process:
        wait_until(path.exists, process)
        process.kill()
        process.communicate()
    assert process.returncode == -9
    assert 0 < st.Orbit.load(path).steps < STEPS  # whole, whenever the kill came
    out, _ = finish(*RUN, "--checkpoint", path)
    undisturbed = st.train(st.Problem(n=50, samples=600, noise=0.5).draw(seed=0), STEPS, record=())
    assert result(out) == result(json.dumps(undisturbed.to_dict()))
    assert st.Orbit.load(path).steps == STEPS


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run.orbit"
    instance = st.Problem(n=50, samples=600, noise=0.5).draw(seed=0)
    st.train(instance, 2000, record=(), checkpoint=path)
    return path


def test_a_truncated_checkpoint_is_refused_and_kept(checkpoint):
    part = checkpoint.read_bytes()[:-9]
    checkpoint.write_bytes(part)
    assert f"{checkpoint} is damaged, truncated" in refused(*RUN, "--checkpoint", checkpoint)
    assert checkpoint.read_bytes() == part


def test_a_full_disk_leaves_the_old_checkpoint(checkpoint):
    before = checkpoint.read_bytes()
    short = [*RUN, "--steps", "30000", "--checkpoint", checkpoint, *OFTEN]
    out, err = finish(*short, code=1, preexec_fn=allow_small_files_only)
    assert json.loads(out)["steps"] == 30_000
    assert f"warning: the checkpoint was not saved: cannot write {checkpoint}: File too large" in err
    assert err.splitlines()[-1].startswith(f"error: cannot write {checkpoint}: File too large")
    assert checkpoint.read_bytes() == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]  # no half file is left behind
