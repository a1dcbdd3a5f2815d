"""Memory that is freed stays with the process."""

import ctypes
import pathlib
import subprocess
import sys

import pytest

HEAP = pathlib.Path(__file__).parents[1] / "elbert_jax" / "heap.py"  # without JAX

FAULTS = """
import ctypes, resource, runpy, sys

if sys.argv[2] == "keep":
    runpy.run_path(sys.argv[1])["keep_what_is_freed"]()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**27)
    ctypes.memset(block, 1, 2**27)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults())
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="not glibc"
)
def test_a_second_block_has_no_pages_to_make():
    def faults(word: str) -> list[int]:
        line = [sys.executable, "-c", FAULTS, str(HEAP), word]
        return [int(n) for n in subprocess.check_output(line, text=True).split()]

    first, second = faults("keep")
    assert second < first / 10
    first, second = faults("do not")  # else the test above says nothing
    assert second > first / 2
