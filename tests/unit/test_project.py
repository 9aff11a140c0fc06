"""What stands beside the code: citation, paper, workflows, and the public address."""

from __future__ import annotations

import re
import runpy
import shutil

import pytest

import sterling
from tests.support import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_has_this_version():
    assert f'version: "{sterling.__version__}"' in read("CITATION.cff")
    assert re.search(r'^date-released: "\d{4}-\d\d-\d\d"$', read("CITATION.cff"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem)
def test_actions_are_pinned_by_their_digest(path):
    uses = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in uses)


def test_one_command_sets_the_address_everywhere(tmp_path):
    """Only the files of the command have the placeholder, and it can be run again."""
    command = ROOT / ".ci" / "address"
    if not command.exists():
        pytest.skip("the source distribution has no .ci")
    program = runpy.run_path(str(command))
    for name in program["FILES"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    before = [(tmp_path / name).read_text(encoding="utf-8") for name in program["FILES"]]
    assert all(program["current"](ROOT) in text for text in before)
    for address in ("https://github.com/someone/sterling", "https://gitlab.com/a/b"):
        program["main"](address, tmp_path)
        texts = [(tmp_path / name).read_text(encoding="utf-8") for name in program["FILES"]]
        old = program["current"](ROOT)
        assert texts == [text.replace(old, address) for text in before]
    with pytest.raises(SystemExit):
        program["main"]("no address", tmp_path)
