"""Here and not in tests/, because pytest takes `pytest_plugins` from the root only."""

pytest_plugins = ["pytester"]
