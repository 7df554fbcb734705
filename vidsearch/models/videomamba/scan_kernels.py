"""The loops of `compiled_scan`, compiled by numba. Imported only if it is installed.

Each kernel does the tasks `first` … `last` − 1; task n is tile n mod T of row n div T, a tile being 64 channels. Loops
over the channels of a tile have no branches and become vector instructions. With `reverse` the time runs backwards.

Axes: N rows, L time, E channels, S states, K taps, T tiles. All arrays are float32 and contiguous.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK = 16  # steps whose states are made again at once on the way back; with their factors they fit L2
_TILE = 64
_TIME_ORDER = {"contract", "nsz", "arcp"}  # freedoms of rounding; sums may be reordered only where they are wide
_ANY_ORDER = _TIME_ORDER | {"reassoc"}
_f = np.float32

# exp(r), |r| ≤ ln(2)/2: minimax polynomial of Cephes (netlib.org/cephes, expf), 2 units in the last place
_E5, _E4, _E3 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_E2, _E1, _E0 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _f(1.4426950408889634), _f(0.693359375), _f(-2.12194440e-4)
_LEAST = _f(-87.0)  # below it exp is not a normal float32


def tiles(channels: int) -> int:
    """T."""
    return -(-channels // _TILE)


@intrinsic
def _bits_as_float(_typing: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@numba.njit(inline="always", fastmath=_TIME_ORDER)
def _exp(x: Any) -> Any:
    """e^x for x ≤ 0."""
    x = max(x, _LEAST)
    n = np.int32(x * _LOG2_E - _f(0.5))  # cut towards zero: the nearest whole number
    whole = _f(n)
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    power: Any = _bits_as_float(np.int32((n + np.int32(127)) << np.int32(23)))  # type: ignore[call-arg]  # numba adds one
    return (p * r * r + r + _f(1.0)) * power


@numba.njit(nogil=True, cache=True, fastmath=_TIME_ORDER, error_model="numpy")
def convolve(x: Any, weight: Any, bias: Any, reverse: bool, out: Any, first: int, last: int) -> None:
    """x (N, L, E), weight (K, E), bias (E,) → out (N, L, E): silu of the causal convolution of each channel."""
    length, channels = x.shape[1], x.shape[2]
    taps, in_row = len(weight), -(-channels // _TILE)
    total = np.empty(_TILE, np.float32)
    for task in range(first, last):
        row, left = task // in_row, task % in_row * _TILE
        wide = min(_TILE, channels - left)
        for t in range(length):
            now = length - 1 - t if reverse else t
            total[:wide] = bias[left : left + wide]
            for k in range(max(0, taps - 1 - t), taps):
                back = taps - 1 - k
                seen = x[row, now + back if reverse else now - back, left : left + wide]
                part = weight[k, left : left + wide]
                for e in range(wide):
                    total[e] += part[e] * seen[e]
            target = out[row, now, left : left + wide]
            for e in range(wide):
                value = total[e]
                small = _exp(-abs(value))
                target[e] = value * (_f(1.0) if value >= _f(0.0) else small) / (_f(1.0) + small)


@numba.njit(nogil=True, cache=True, fastmath=_TIME_ORDER, error_model="numpy")
def scan(
    u: Any,
    delta: Any,
    A: Any,
    B: Any,
    C: Any,
    reverse: bool,
    out: Any,
    starts: Any,
    first: int,
    last: int,
) -> None:
    """u, delta, out (N, L, E), A (S, E), B, C (N, L, S).

    The state before each block goes to starts (N, ⌈L / BLOCK⌉, S, E), or nowhere if that is (N, 0, S, E).
    """
    length, channels, states = u.shape[1], u.shape[2], len(A)
    in_row, learning = -(-channels // _TILE), starts.shape[1] > 0
    rate, state = np.zeros((states, _TILE), np.float32), np.empty((states, _TILE), np.float32)
    step, drive, total = (np.zeros(_TILE, np.float32), np.zeros(_TILE, np.float32), np.empty(_TILE, np.float32))
    for task in range(first, last):
        row, left = task // in_row, task % in_row * _TILE
        wide = min(_TILE, channels - left)
        step[:], drive[:], state[:] = 0, 0, 0
        rate[:, :wide] = A[:, left : left + wide]
        for t in range(length):
            if learning and t % BLOCK == 0:
                starts[row, t // BLOCK, :, left : left + wide] = state[:, :wide]
            now = length - 1 - t if reverse else t
            own_delta, own_u = delta[row, now, left : left + wide], u[row, now, left : left + wide]
            for e in range(wide):
                step[e] = own_delta[e]
                drive[e] = own_delta[e] * own_u[e]
            total[:] = 0
            for s in range(states):
                b, c = B[row, now, s], C[row, now, s]
                for e in range(_TILE):
                    h = _exp(step[e] * rate[s, e]) * state[s, e] + drive[e] * b
                    state[s, e] = h
                    total[e] += h * c
            out[row, now, left : left + wide] = total[:wide]


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER, error_model="numpy")
def scan_back(
    u: Any,
    delta: Any,
    A: Any,
    B: Any,
    C: Any,
    starts: Any,
    grad: Any,
    reverse: bool,
    to_u: Any,
    to_delta: Any,
    to_A: Any,
    to_B: Any,
    to_C: Any,
    first: int,
    last: int,
) -> None:
    """With g_t = ∂/∂h_t = C_t grad_t + exp(Δ_{t+1} A) g_{t+1}, every gradient is a product with g, h or both.

    grad, to_u, to_delta (N, L, E); to_A (N, S, E); to_B, to_C (T, N, L, S), a part from each tile.
    """
    length, channels, states = u.shape[1], u.shape[2], len(A)
    in_row = -(-channels // _TILE)
    kept, factor = (np.zeros((BLOCK + 1, states, _TILE), np.float32), np.zeros((BLOCK, states, _TILE), np.float32))
    rate, reach, to_rate = (
        np.zeros((states, _TILE), np.float32),
        np.empty((states, _TILE), np.float32),
        np.empty((states, _TILE), np.float32),
    )
    step, value, wanted = (
        np.zeros((BLOCK, _TILE), np.float32),
        np.zeros((BLOCK, _TILE), np.float32),
        np.zeros((BLOCK, _TILE), np.float32),
    )
    to_step, to_drive = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
    for task in range(first, last):
        row, tile = task // in_row, task % in_row
        left = tile * _TILE
        wide = min(_TILE, channels - left)
        step[:], value[:], wanted[:], kept[:], reach[:], to_rate[:] = 0, 0, 0, 0, 0, 0
        rate[:, :wide] = A[:, left : left + wide]
        for block in range((length - 1) // BLOCK, -1, -1):
            begin = block * BLOCK
            size = min(BLOCK, length - begin)
            kept[0, :, :wide] = starts[row, block, :, left : left + wide]
            for i in range(size):
                now = length - 1 - begin - i if reverse else begin + i
                own_delta, own_u = delta[row, now, left : left + wide], u[row, now, left : left + wide]
                own_grad = grad[row, now, left : left + wide]
                for e in range(wide):
                    step[i, e], value[i, e], wanted[i, e] = own_delta[e], own_u[e], own_grad[e]
                for s in range(states):
                    b = B[row, now, s]
                    for e in range(_TILE):
                        factor[i, s, e] = _exp(step[i, e] * rate[s, e])
                        kept[i + 1, s, e] = factor[i, s, e] * kept[i, s, e] + step[i, e] * value[i, e] * b
            for i in range(size - 1, -1, -1):
                now = length - 1 - begin - i if reverse else begin + i
                to_step[:], to_drive[:] = 0, 0
                for s in range(states):
                    b, c = B[row, now, s], C[row, now, s]
                    written, was_read = _f(0.0), _f(0.0)
                    for e in range(_TILE):
                        g = reach[s, e] + c * wanted[i, e]
                        passed = g * factor[i, s, e]
                        reach[s, e] = passed
                        exponent = passed * kept[i, s, e]  # ∂/∂(Δ A)
                        to_step[e] += exponent * rate[s, e]
                        to_rate[s, e] += exponent * step[i, e]
                        to_drive[e] += g * b
                        written += g * step[i, e] * value[i, e]
                        was_read += kept[i + 1, s, e] * wanted[i, e]
                    to_B[tile, row, now, s], to_C[tile, row, now, s] = written, was_read
                own_delta, own_u = to_delta[row, now, left : left + wide], to_u[row, now, left : left + wide]
                for e in range(wide):
                    own_delta[e] = to_step[e] + to_drive[e] * value[i, e]
                    own_u[e] = to_drive[e] * step[i, e]
        to_A[row, :, left : left + wide] = to_rate[:, :wide]
