"""The version, in this one place: the build, the package and the command line read it from here."""

__version__ = "0.1.0"
