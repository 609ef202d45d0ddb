"""One measured process: ``python work.py doors.compare FOLDER`` prints its numbers and its peak memory as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def peak_megabytes() -> float:
    """The most memory that this process ever held; the kernel's counter for children would include the parent's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        import resource  # noqa: PLC0415 - only where the kernel has no such file

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    module, function = sys.argv[1].split(".")
    found = getattr(import_module(module), function)(Path(sys.argv[2]))
    print(json.dumps({"numbers": found, "peak": peak_megabytes()}))
