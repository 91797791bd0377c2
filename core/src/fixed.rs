//! Fixed-point arithmetic, so that native, wasm and browser agree bit for bit.
//!
//! A Q16 number is an integer whose unit is 1/65536. Everything saturates; nothing divides by zero.

/// One in Q16.
pub const ONE: u64 = 1 << 16;

/// Whether `a * b` is sure to fit 64 bits: cheaper than a checked multiplication, which wasm does in 128 bits. Nearly always both
/// are of 32 bits, and that is cheaper to see than the place of the highest bit.
#[inline]
const fn fits(a: u64, b: u64) -> bool {
    (a | b) >> 32 == 0 || a.leading_zeros() + b.leading_zeros() >= 64
}

/// `a * b`, saturating.
#[inline]
pub fn mul(a: u64, b: u64) -> u64 {
    if fits(a, b) {
        a.wrapping_mul(b)
    } else {
        wide_mul_div(a, b, 1)
    }
}

/// `a * b / c`, saturating, rounding down; `c = 0` counts as 1.
#[inline]
pub fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    let c = c.max(1);
    if fits(a, b) {
        a.wrapping_mul(b) / c
    } else {
        wide_mul_div(a, b, c)
    }
}

/// `a * q` for `q` in Q16.
#[inline]
pub fn mul_q16(a: u64, q: u64) -> u64 {
    if fits(a, q) {
        a.wrapping_mul(q) >> 16
    } else {
        wide_mul_div(a, q, ONE)
    }
}

/// The same in 128 bits, which hardly ever happens and is long: in one place instead of in every product.
#[cold]
#[inline(never)]
fn wide_mul_div(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c)).unwrap_or(u64::MAX)
}

/// `a / b` in Q16; zero over anything is zero, anything over zero saturates at `u32::MAX` (65,536.0).
pub fn ratio(a: u64, b: u64) -> u64 {
    if a == 0 {
        return 0;
    }
    mul_div(a, ONE, b).min(u64::from(u32::MAX))
}

/// Moves `mean` towards `sample` by 1/2^`shift`: an exponentially weighted mean without a drift from rounding.
pub fn ewma(mean: u64, sample: u64, shift: u32) -> u64 {
    if sample >= mean {
        let step = (sample - mean) >> shift;
        mean + step.max(u64::from(sample > mean))
    } else {
        let step = (mean - sample) >> shift;
        mean - step.max(1)
    }
}

/// Q16 values of 2^(-i/16) for i in 0..16, for [`decay`].
const SIXTEENTHS: [u32; 16] = [
    65536, 62757, 60097, 57549, 55109, 52772, 50535, 48393, 46341, 44376, 42495, 40693, 38968,
    37316, 35734, 34219,
];

/// `value * 2^(-elapsed / half_life)`, in steps of a sixteenth of the half-life.
pub fn decay(value: u64, elapsed: u64, half_life: u64) -> u64 {
    let sixteenths = mul_div(elapsed, 16, half_life);
    let halvings = sixteenths / 16;
    if halvings >= 64 {
        return 0;
    }
    let fraction = SIXTEENTHS
        .get((sixteenths % 16) as usize)
        .copied()
        .unwrap_or(65536);
    mul_q16(value, u64::from(fraction)) >> halvings
}

/// Whole part of the base-2 logarithm; 0 for 0.
pub const fn log2(value: u64) -> u32 {
    if value == 0 {
        0
    } else {
        63 - value.leading_zeros()
    }
}

/// `-log2(u / 2^64)` in Q16 for a uniform `u`: the exponential draw of weighted rendezvous hashing. Linear between powers of two
/// (worst error 0.086), which every proxy computes alike, and only the order counts.
#[inline]
pub const fn neg_log2(u: u64) -> u64 {
    let u = if u == 0 { 1 } else { u };
    let whole = log2(u);
    let fraction = if whole == 0 {
        0
    } else {
        (u << (63 - whole) << 1) >> 48
    };
    (64 - whole as u64) * ONE - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_halves_and_is_monotone() {
        assert_eq!(decay(1 << 20, 120, 120), 1 << 19);
        assert_eq!(decay(1 << 20, 0, 120), 1 << 20);
        let mut last = u64::MAX;
        for t in 0..1000 {
            let value = decay(1 << 30, t, 100);
            assert!(value <= last);
            last = value;
        }
        assert_eq!(decay(u64::MAX, u64::MAX, 1), 0);
        assert_eq!(decay(7, 5, 0), 0);
    }

    #[test]
    fn ewma_reaches_its_sample() {
        let mut mean = 1000;
        for _ in 0..2000 {
            mean = ewma(mean, 10, 5);
        }
        assert_eq!(mean, 10);
        for _ in 0..2000 {
            mean = ewma(mean, 999, 5);
        }
        assert_eq!(mean, 999);
        assert_eq!(ewma(5, 5, 3), 5);
    }

    #[test]
    fn neg_log2_orders_and_brackets() {
        assert_eq!(neg_log2(1 << 63), ONE);
        assert_eq!(neg_log2(1 << 62), 2 * ONE);
        assert!(neg_log2(u64::MAX) < 4);
        assert!(neg_log2(0) >= neg_log2(1));
        let mut last = u64::MAX;
        for i in 2..64 {
            for j in [0u64, 1, 2, 3] {
                let u = (1u64 << i) + ((1u64 << i) >> 2) * j;
                let value = neg_log2(u);
                assert!(value <= last, "{u}");
                last = value;
            }
        }
    }

    #[test]
    fn narrow_and_wide_products_agree() {
        let mut rng = crate::rng::Rng::new(1);
        for _ in 0..100_000 {
            let (a, b) = (rng.next() >> rng.below(64), rng.next() >> rng.below(64));
            assert_eq!(mul(a, b), a.saturating_mul(b));
            let q16 = (u128::from(a) * u128::from(b)) >> 16;
            assert_eq!(u128::from(mul_q16(a, b)), q16.min(u64::MAX.into()));
            let c = rng.next() >> rng.below(64);
            let div = u128::from(a) * u128::from(b) / u128::from(c.max(1));
            assert_eq!(u128::from(mul_div(a, b, c)), div.min(u64::MAX.into()));
        }
    }

    #[test]
    fn wide_products_saturate() {
        assert_eq!(mul_q16(u64::MAX, ONE), u64::MAX);
        assert_eq!(mul_q16(u64::MAX, 2 * ONE), u64::MAX);
        assert_eq!(mul_div(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(mul_div(5, 5, 0), 25);
        assert_eq!(ratio(1, 2), ONE / 2);
    }
}
