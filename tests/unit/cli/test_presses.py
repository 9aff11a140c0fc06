"""Ctrl-C and SIGTERM at every point of a command's life: one exit code, one sentence, nothing lost.

A process of its own presses them at chosen points, so that nothing depends on time.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from sterling.cli import render

STOPPED = f"{render.STOPPED}\n"
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX signals")

#: A verb that does `body()`, the whole command line around it, and ways to press.
HEAD = """
import os, signal, sys, time
from sterling.cli import main, presses

def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def join(body):
    import typer
    from sterling.cli import render, verbs
    verbs.app = typer.Typer(add_completion=False)  # without the true verbs, which take a while to read
    @verbs.app.command()
    @render.guarded
    def probe() -> None:
        body()
    sys.argv[1:] = []

def wait():
    for _ in range(1000):
        time.sleep(0.01)
    raise AssertionError("nothing came")
"""


def run(script):
    return subprocess.run(
        [sys.executable, "-c", HEAD + script], capture_output=True, text=True, timeout=120, check=False
    )


def assert_interrupted(done):
    assert (done.returncode, done.stderr, done.stdout) == (130, STOPPED, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_press_before_the_verb_begins_is_kept(number):
    """While main begins, and while the command line is imported and read."""
    script = f"""
import builtins
original = __import__
def importing(name, *rest):
    if name == "typer":
        builtins.__import__ = original
        press(signal.{number.name})
    return original(name, *rest)
builtins.__import__ = importing
import sterling.cli.presses
listen = presses.listen
def early():
    listen()
    from sterling.cli import render  # brings typer
    join(lambda: None)
import sterling.cli
sterling.cli.listen = early
main()
"""
    assert_interrupted(run(script))


def test_a_press_while_a_module_is_imported_waits_for_its_end():
    """Modules written in C turn it into an ImportError, which some callers take for a missing package."""
    script = """
import importlib.abc, importlib.util
done = []
class Written(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, *rest):
        return importlib.util.spec_from_loader(name, self) if name == "in_c" else None
    def exec_module(self, module):
        try:
            press()
            press(signal.SIGALRM)  # the second attempt, which comes too early as well
        except BaseException as problem:
            raise ImportError("initialization failed") from problem
        done.append(module)
def body():
    sys.meta_path.insert(0, Written())
    try:
        import in_c
    except ImportError:
        print("without it, then")
    assert done
    wait()
join(body)
main()
"""
    assert_interrupted(run(script))


def test_a_press_in_a_callback_of_c_code_is_not_lost():
    script = """
import ctypes
def body():
    @ctypes.CFUNCTYPE(None)
    def callback():
        press()
        for _ in range(1000):
            pass
    callback()
    wait()
join(body)
main()
"""
    assert_interrupted(run(script))


#: Presses at the numbered lines of our own code in the life of a command that `body` describes, each in a
#: child of its own, and prints how each ended.
EVERYWHERE = """
import atexit, importlib.util, json
importlib.util.find_spec('pydantic') and __import__('pydantic')  # Typer looks for it, at length
import sterling.cli, sterling.cli.verbs, sterling.errors
def lines(body, at):
    '''Run the command in a child; press where `at` says so of the number of the line. How did it end?'''
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1); os.dup2(writing, 2)
        count = 0
        def local(frame, event, argument):
            nonlocal count
            if event == "line":
                count += 1
                if at(count):
                    press(NUMBER)
            return local
        def trace(frame, event, argument):
            return local if "/sterling/" in frame.f_code.co_filename else None
        join(body)
        class Last:
            def __del__(self):
                press(NUMBER)
        if at(10**9):  # while Python takes itself apart, too
            sys.last_of_all = Last()
            atexit.register(press, NUMBER)
        listen = sterling.cli.listen
        def listening():  # before, a press is Python's own affair
            listen()
            sys.settrace(trace)
            sys._getframe(1).f_trace = local
        sterling.cli.listen = listening
        try:
            main()
        finally:
            sys.settrace(None)
            os.write(writing, b"\\0%d\\0" % count)
            if not at(10**9) and isinstance(sys.exc_info()[1], SystemExit):
                os._exit(sys.exc_info()[1].code)  # Python's own way out takes most of the time
    os.close(writing)
    with open(reading, "rb") as stream:
        said, count, late = stream.read().split(b"\\0")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (said + late).decode(), int(count)
"""

BODIES = {
    "done": ("lambda: print('done')", 0, "done\n"),
    "failed": ("lambda: (_ for _ in ()).throw(sterling.errors.InputError('wrong'))", 2, "error: wrong\n"),
    "interrupted": (
        "lambda: sterling.cli.render.end_interrupted('interrupted: go on')",
        130,
        "interrupted: go on\n",
    ),
}


@pytest.mark.parametrize("how", ["==", "<="])
@pytest.mark.parametrize("body, number", [(body, "SIGINT") for body in BODIES] + [("done", "SIGTERM")])
def test_presses_anywhere_change_nothing_or_interrupt(body, number, how):
    """One press at a line, or one at each line from there on, to the last gasp of the process."""
    work, code, text = BODIES[body]
    whole = (body, number) == ("done", "SIGINT")
    step = 1 if how == "==" else 4  # the way out of Python, pressed at too, takes a while
    early = step if whole else 6  # before the verb all is the same
    script = f"""
NUMBER, body = signal.{number}, {work}
_, _, last = lines(body, lambda count: False)
places = [*range(last, last // 2, -{step}), *range(last // 2, 0, -{early})]
print(json.dumps([lines(body, lambda count: chosen {how} count)[:2] for chosen in places]))
"""
    done = run(EVERYWHERE + script)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert len(ends) > 15 / step
    for place, (ended, said) in enumerate(ends):
        assert ended in (code, 130), (place, ended, said)
        both = text + STOPPED
        assert said == text or sorted(said) in (sorted(STOPPED), sorted(both)), (place, said)
        assert (ended == 130) == ("interrupted" in said), (place, ended, said)
    assert ends[0] == [code, text]  # too late
    assert ends[-1] == [130, STOPPED]


@pytest.mark.parametrize("body", BODIES)
def test_presses_after_the_last_word_change_nothing(body):
    work, code, text = BODIES[body]
    script = f"""
NUMBER = signal.SIGINT
body, over = {work}, []
end = presses.end
def ended():
    over.append(1)
    end()
sterling.cli.end = ended
print(json.dumps(lines(body, lambda count: bool(over) or count == 10**9)))
"""
    done = run(EVERYWHERE + script)
    ended, said, _ = json.loads(done.stdout)
    assert (ended, said) == (code, text)
