"""Latents and labels addressed by seed and sample index, the same bits on every machine.

Only the raw words of NumPy's Philox generator are used: they are counter-addressed and part of NumPy's
stability promise, which its distributions (`standard_normal` and the like) are not. Each latent takes 16
bits of a word and looks them up in a table of normal quantiles.
"""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mnist_sample.errors import UsageError

MAX_SEED: Final = 2**64 - 1
MAX_INDEX: Final = 2**63 - 1
"""Indices are stored as unsigned 64-bit numbers; half of them is enough."""

_LATENT_STREAM: Final = 0
_LABEL_STREAM: Final = 1
_WORDS_PER_BLOCK: Final = 4
"""Philox4x64 yields four 64-bit words for each value of its counter."""
_VALUES_PER_WORD: Final = 4
_VALUES_PER_BLOCK: Final = _WORDS_PER_BLOCK * _VALUES_PER_WORD
_GRID: Final = 2**20
"""Quantiles are rounded to multiples of 1/_GRID: a last-bit difference between two C libraries' `log` is
1e-16, and no quantile lies closer than 1e-12 to a point where rounding turns (a test checks that)."""

# Algorithm AS 241 (PPND16), Wichura 1988, https://doi.org/10.2307/2347330: numerator and denominator, from
# the highest power down, for the centre, the shoulders and the tails.
_CENTRE: Final = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
        1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
        5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
_SHOULDER: Final = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
        1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
        4.63033784615654529590e0, 1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
        1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
        2.05319162663775882187e0, 1.0,
    ),
)  # fmt: skip
_CENTRE_REACH: Final = 0.425
_SHOULDER_OFFSET: Final = 1.6


def _ratio(
    coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    numerator, denominator = (np.full_like(x, terms[0]) for terms in coefficients)
    for a, b in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        numerator = numerator * x + a
        denominator = denominator * x + b
    return numerator / denominator


def upper_quantiles() -> NDArray[np.float64]:
    """Return the normal quantiles at (k + 0.5) / 65536 for k from 32768 to 65535, as float64 `[32768]`.

    AS 241's third branch is for probabilities below 1.4e-11; the outermost here is 7.6e-6.
    """
    q = (np.arange(2**15) + 0.5) / 2**16
    centre = q <= _CENTRE_REACH
    inner, outer = q[centre], q[~centre]
    r = np.sqrt(-np.log(0.5 - outer)) - _SHOULDER_OFFSET
    return np.concatenate([inner * _ratio(_CENTRE, _CENTRE_REACH**2 - inner * inner), _ratio(_SHOULDER, r)])


def normal_table() -> NDArray[np.float32]:
    """Return the 65,536 equally likely values that a latent can take, as float32 `[65536]`, ascending."""
    upper = (np.rint(upper_quantiles() * _GRID) / _GRID).astype(np.float32)
    return np.concatenate([-upper[::-1], upper])


_NORMALS: Final = normal_table()


_thread = threading.local()
"""One Philox for each thread: making a new one gathers entropy that nobody needs, which takes longer than the
words of a batch of latents."""


def _raw_words(seed: int, stream: int, first_block: int, count: int) -> NDArray[np.uint64]:
    """Return `count` words of the stream, from the first word of `first_block` on."""
    if not hasattr(_thread, "philox"):
        _thread.philox = np.random.Philox(0)
    counter = [first_block >> 64 * at & MAX_SEED for at in range(_WORDS_PER_BLOCK)]
    _thread.philox.state = {
        "bit_generator": "Philox",
        "state": {"counter": np.array(counter, np.uint64), "key": np.array([seed, stream], np.uint64)},
        "buffer": np.zeros(_WORDS_PER_BLOCK, np.uint64),
        "buffer_pos": _WORDS_PER_BLOCK,  # all used up: the next word comes from the counter
        "has_uint32": 0,
        "uinteger": 0,
    }
    words: NDArray[np.uint64] = _thread.philox.random_raw(count)
    return words


def check_range(seed: int, start: int, n: int) -> None:
    """Refuse a seed or indices that the streams can't address.

    Raises:
        UsageError: `seed` is not within 0..2**64-1, or one of the `n` indices from `start` on not
            within 0..2**63-2.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed {seed} is out of range: use 0 to {MAX_SEED} (2**64 - 1)")
    if n < 0:
        raise UsageError(f"cannot make {n} samples: use 0 or more")
    if start < 0 or start + n > MAX_INDEX:
        raise UsageError(
            f"{n} samples from {start} on are out of range: indices go from 0 to {MAX_INDEX - 1}"
        )


def draw_latents(seed: int, start: int, n: int, latent_dim: int) -> NDArray[np.float32]:
    """Draw the standard normal latents of samples `start` to `start + n`.

    Args:
        seed: 0 to 2**64 - 1.
        start: index of the first sample, 0 to 2**63 - 1 - n.
        n: number of samples.
        latent_dim: values per sample.

    Returns:
        float32 `[n, latent_dim]`, values within +-4.33; row i depends on seed, start + i and latent_dim only.
    """
    blocks = -(-latent_dim // _VALUES_PER_BLOCK)
    words = _raw_words(seed, _LATENT_STREAM, start * blocks, n * blocks * _WORDS_PER_BLOCK)
    # The explicit byte order makes a big-endian machine cut words into the same sixteens.
    picks = words.astype("<u8", copy=False).view("<u2").reshape(n, blocks * _VALUES_PER_BLOCK)
    return _NORMALS.take(picks[:, :latent_dim])


def draw_labels(seed: int, start: int, n: int, classes: int) -> NDArray[np.int64]:
    """Draw the class of samples `start` to `start + n`, uniform over `classes`.

    Returns:
        int64 `[n]`, values 0 to classes - 1; each class's chance is 1/classes to within 2**-32.
    """
    skip = start % _WORDS_PER_BLOCK
    words = _raw_words(seed, _LABEL_STREAM, start // _WORDS_PER_BLOCK, n + skip)[skip:]
    high = words >> np.uint64(32)
    return ((high * np.uint64(classes)) >> np.uint64(32)).astype(np.int64)
