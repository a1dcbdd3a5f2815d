"""The C library's heap: what a training step frees is there for the next one.

On a CPU, XLA allocates what a step needs by `malloc`, and frees it at its end. glibc
gives large blocks back to the system, which makes and zeroes their pages anew for each
step.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_what_is_freed() -> None:
    """Has this process keep freed memory for later, where the C library is glibc.

    It then holds the most that it ever needed at once. Huge pages are another matter:
    where the system gives them only to those who ask, the environment has to,
    `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)  # a mapped block goes back as soon as it is freed
        libc.mallopt(_TRIM_THRESHOLD, -1)  # never
        libc.mallopt(_ARENA_MAX, 1)  # the arenas of threads hold no large block
