"""The exceptions and warnings of sterling: one family, so that a caller can catch them all at once."""


class SterlingError(Exception):
    """Base of every error that sterling raises on purpose."""


class InputError(SterlingError, ValueError):
    """An argument is wrong; the message says what is wrong, where, and what to do.

    ``about`` names the part of the data, so that a caller can add its name: numbers of features, or "labels".
    ``argument`` is the name of the argument with which the message begins, so that a caller can rename it.
    """

    def __init__(self, *message: object, about: tuple[int | str, ...] = (), argument: str | None = None):
        super().__init__(*message)
        self.about = about
        self.argument = argument


class InputTypeError(InputError, TypeError):
    """An argument has the wrong type, such as a string in place of a number."""


class CapacityError(SterlingError, MemoryError):
    """The work does not fit: there is not enough memory, or numbers are too large for exact arithmetic."""


class RangeError(InputError, CapacityError):
    """Exact arithmetic cannot hold these numbers: other numbers would help, more memory would not."""


class StoreError(SterlingError, OSError):
    """A file cannot be written, or a file of sterling cannot be read."""


class UnreadableError(StoreError):
    """A file or folder of sterling is missing or damaged, or belongs to something else."""


class CheckpointError(UnreadableError):
    """A saved run is damaged, of another format, or belongs to another instance."""


class SterlingWarning(UserWarning):
    """A condition that the user should know about, but that does not stop the work."""
