"""The ``arena-state`` command."""
def main() -> int:
    return 0
