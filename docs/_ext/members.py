"""What class pages list: every public method as a heading, and every public property.

Methods of other libraries, which our classes inherit, are documented there.
"""

import inspect
from importlib import import_module
from pathlib import Path

from sphinx.util import logging

LOG = logging.getLogger(__name__)
PACKAGES = (
    "sterling",
    "sterling.theory",
    "sterling.study",
    "sterling.plot",
    "sterling.learn",
    "sterling.torch",
)


def _members(fullname, accepts):
    module, _, name = fullname.rpartition(".")
    thing = getattr(import_module(module), name)
    found = {}
    for owner in thing.__mro__:
        if owner.__module__.startswith("sterling") and not issubclass(thing, BaseException):
            own = {key: member for key, member in vars(owner).items() if not key.startswith("_")}
            found = {**found, **own, **found}  # those of the class itself come first
    return [key for key, member in found.items() if accepts(member)]


def public_methods(fullname):
    """Return the names of the methods of a class."""
    return _members(fullname, lambda member: inspect.isfunction(getattr(member, "__func__", member)))


def public_properties(fullname):
    """Return the names of the documented properties of a class."""
    return _members(fullname, lambda member: inspect.isdatadescriptor(member) and inspect.getdoc(member))


def inherited():
    """Return patterns of the members that numpydoc shall not check, for it sees no inherited docstrings."""
    patterns = [r"Error$", r"\.Verdict$"]  # their signatures are those of Exception and Enum
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                full = f"{package}.{name}"
                own = {key for key in public_methods(full) if key in vars(thing) and vars(thing)[key].__doc__}
                documented = {key for key in public_methods(full) if inspect.getdoc(getattr(thing, key))}
                patterns += [rf"^{full}\.{key}$" for key in (*public_properties(full), *documented - own)]
    return set(patterns)


def check(app, error):
    """Warn of every public name without a page, and of every public method that is no heading on its page."""
    if error or app.builder.name != "html":
        return
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__:
            if not callable(getattr(module, name)):
                continue
            page = Path(app.outdir, "api", "generated", f"{package}.{name}.html")
            text = page.read_text(encoding="utf-8") if page.exists() else ""
            if f'id="{package}.{name}"' not in text:
                LOG.warning("%s.%s has no page", package, name)
            elif inspect.isclass(getattr(module, name)):
                for method in public_methods(f"{package}.{name}"):
                    if f"<h2>{method}<" not in text or f'id="{package}.{name}.{method}"' not in text:
                        LOG.warning("%s.%s.%s is no heading", package, name, method)


def setup(app):
    public = {f"{package}.{name}" for package in PACKAGES for name in import_module(package).__all__}
    for stub in Path(app.srcdir, "api", "generated").glob("*.rst"):
        if stub.stem not in public:
            stub.unlink()  # of a name that has gone since the last build
    app.connect("build-finished", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
