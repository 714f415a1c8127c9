"""How much memory a process had at most.

What the system says of a child that has ended will not do: on Linux that begins with what its parent had when it
started it, and the children of the child are in it.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
from pathlib import Path

#: What a conftest says to have `of` know afterwards.
CONFTEST = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport peak\npeak.tell()\n"
_FILE = "peak-mb"


def peak_mb() -> float:
    """Of this process, until now."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size / (1e6 if sys.platform == "darwin" else 1e3)
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def tell() -> None:
    """Have this process write it down when it ends, unless it is a worker."""
    place = Path.cwd() / _FILE
    if "PYTEST_XDIST_WORKER" not in os.environ:
        atexit.register(lambda: place.write_text(str(peak_mb()), encoding="ascii"))


def of(folder: Path) -> float:
    """What a process wrote down that has ended in a folder."""
    return float((folder / _FILE).read_text(encoding="ascii"))
