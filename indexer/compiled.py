"""Kernels: the hot loops of the engines, compiled by numba to machine code that runs without the GIL.

A kernel names its argument types, so it is compiled when its module is imported and never by a call: set-up imports
them all once and leaves the machine code in `indexer.kernel_cache`, from where a start reads it. Arguments
are flat arrays and numbers; what a kernel may write to is declared with `writable`, all else is read-only, as mapped
files are.

Each array takes a call longer than it takes to add up a hundred numbers. So a kernel that is to read many arrays gets
one of their addresses, and whoever calls it keeps them alive. What it finds there is not counted references of, either,
which costs as much as adding up a dozen numbers.
"""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from numba import config, njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numba.np.unsafe.ndarray import to_fixed_tuple

from indexer.kernel_cache import kernel_cache_directory

# Numba asks for them when a kernel is declared.
config.CACHE_DIR = str(kernel_cache_directory())  # type: ignore[attr-defined] # numba fills its settings at run time
config.CACHE_LOCATOR_CLASSES = "indexer.kernel_locator.KernelLocator"  # type: ignore[attr-defined] # as above

P = ParamSpec("P")
R = TypeVar("R")

KernelType = Any
"""A type of numba's; it ships no type information."""

fixed_tuple: Any = to_fixed_tuple
"""For kernels: so many numbers of an array, as a tuple."""

WORD: Final = 8
"""Bytes of a word."""

_tuple: Any = types.NamedTuple
_uniform_tuple: Any = types.NamedUniTuple

void: KernelType = types.void
boolean: KernelType = types.boolean
uint8: KernelType = types.uint8
uint32: KernelType = types.uint32
uint64: KernelType = types.uint64
int32: KernelType = types.int32
int64: KernelType = types.int64
float64: KernelType = types.float64


def readable(item: KernelType, *, dimensions: int = 1) -> KernelType:
    """A contiguous array that the kernel only reads, mapped or not."""
    return types.Array(item, dimensions, "C", readonly=True)


def writable(item: KernelType, *, dimensions: int = 1) -> KernelType:
    """A contiguous array that the kernel fills."""
    return types.Array(item, dimensions, "C")


def record(kind: type[tuple[Any, ...]], *fields: KernelType) -> KernelType:
    """A named tuple of arrays and numbers, as one argument."""
    if len(set(fields)) == 1:
        return _uniform_tuple(fields[0], len(fields), kind)
    return _tuple(fields, kind)


def kernel(result: KernelType, *arguments: KernelType) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function of flat arrays and numbers.

    Args:
        result: what it returns.
        arguments: what it takes, in order.
    """
    return _compiler(result(*arguments))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function callable from kernels; it is compiled with each."""
    compiled: Callable[P, R] = njit(nogil=True, error_model="numpy", inline="always")(function)
    return compiled


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Make a large function callable from kernels: it is compiled once in each, and quicker than where it is called."""
    compiled: Callable[P, R] = njit(nogil=True, error_model="numpy")(function)
    return compiled


@inlined
def signed(value: Any) -> int:  # noqa: ANN401 - any number of numba's
    """An integer that does not wrap around at zero, as numba's unsigned ones do."""
    return np.int64(value)  # type: ignore[return-value] # compiled, it is one


def _to_pointer(_typing: Any, address: Any) -> Any:  # noqa: ANN401, ARG001 - as numba asks for it, by name
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - of llvmlite
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), generate


_pointer: Any = intrinsic(_to_pointer)


@inlined
def uint8_at(address: int, length: int) -> npt.NDArray[np.uint8]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.uint8)


@inlined
def uint16_at(address: int, length: int) -> npt.NDArray[np.uint16]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.uint16)


@inlined
def uint32_at(address: int, length: int) -> npt.NDArray[np.uint32]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.uint32)


@inlined
def int64_at(address: int, length: int) -> npt.NDArray[np.int64]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.int64)


@inlined
def float64_at(address: int, length: int) -> npt.NDArray[np.float64]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.float64)


@inlined
def uint64_at(address: int, length: int) -> npt.NDArray[np.uint64]:
    """An array that begins at an address."""
    return carray(_pointer(address), (length,), np.uint64)


def _read_word(_typing: Any, address: Any) -> Any:  # noqa: ANN401, ARG001 - as numba asks for it, by name
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - of llvmlite
        pointer = context.get_value_type(signature.return_type).as_pointer()
        return builder.load(builder.inttoptr(arguments[0], pointer), align=1)

    return types.uint64(types.int64), generate


word_at: Any = intrinsic(_read_word)
"""For kernels: the `WORD` bytes at an address, which need not be a multiple of anything."""


def _compiler(signature: KernelType) -> Callable[[Callable[P, R]], Callable[P, R]]:
    compiler: Callable[[Callable[P, R]], Callable[P, R]] = njit(signature, nogil=True, cache=True, error_model="numpy")
    return compiler
