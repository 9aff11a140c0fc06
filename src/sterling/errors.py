"""The exceptions and warnings of sterling: one family, so that a caller can catch them all at once."""


class SterlingError(Exception):
    """Base of every error that sterling raises on purpose."""


class InputError(SterlingError, ValueError):
    """Something the caller gave is wrong; the message says what, where, and what to do.

    ``about`` is what of the data it speaks of, for who knows their names: numbers of features, or "labels".
    ``argument`` is the name of the argument with which the message begins, for who gave it by another name.
    """

    def __init__(self, *message: object, about: tuple[int | str, ...] = (), argument: str | None = None):
        super().__init__(*message)
        self.about = about
        self.argument = argument


class InputTypeError(InputError, TypeError):
    """An argument is of a type that cannot be used, such as a text where a number is due."""


class CapacityError(SterlingError, MemoryError):
    """The work does not fit: not enough memory, or numbers too large for exact arithmetic."""


class RangeError(InputError, CapacityError):
    """Numbers of the caller's that exact arithmetic cannot hold: other numbers would do, more memory not."""


class StoreError(SterlingError, OSError):
    """A file that sterling wrote, or should write, cannot be used."""


class CheckpointError(StoreError):
    """A saved run is damaged, of another format, or belongs to another instance."""


class SterlingWarning(UserWarning):
    """A condition that does not stop the work but that the user should know of."""
