"""What holds for all tests."""

import signal

# A job in the background is started with Ctrl-C ignored, and its children inherit that; the tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
