from sterling.cli.render import guarded


@guarded
def doctor() -> None:
    """Say what is installed and whether it works."""
