"""Memory that a process keeps once it has it, for a CPU spends more time on getting it again than on many layers."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT = 2**31 - 1  # bytes, all that mallopt takes
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next tensor, instead of handing it back to the kernel; whether it does.

    Every step of a training takes and frees the same maps of many megabytes. The kernel clears each page that it hands
    out anew, which was a quarter of a step of C³(32) on one core. The process stays as large as it was at its largest.
    Whoever sets glibc's own environment variables is obeyed, and other C libraries are left alone.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, KEPT) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
