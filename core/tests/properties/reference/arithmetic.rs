//! Wide arithmetic that fails loudly where the router's would saturate.

/// One in Q16.
pub(crate) const ONE: u64 = 65_536;

/// `a * b / c`, rounded down; `c` counts as 1 at least.
pub(crate) fn over(a: u64, b: u64, c: u64) -> u64 {
    let exact = u128::from(a) * u128::from(b) / u128::from(c.max(1));
    u64::try_from(exact).expect("out of the reference's range")
}

/// `a * q` for `q` in Q16.
pub(crate) fn times(a: u64, q: u64) -> u64 {
    over(a, q, ONE)
}

/// `a / b` in Q16, at most 65,536.0.
pub(crate) fn ratio(a: u64, b: u64) -> u64 {
    over(a, ONE, b).min(u64::from(u32::MAX))
}

/// `mean`, moved towards `sample` by 1/2^`shift` of the way, by 1 at least.
pub(crate) fn towards(mean: u64, sample: u64, shift: u32) -> u64 {
    let step = |way: u64| if way == 0 { 0 } else { (way >> shift).max(1) };
    if sample >= mean {
        mean + step(sample - mean)
    } else {
        mean - step(mean - sample)
    }
}

/// `-log2(u / 2^64)` in Q16, linear between powers of two.
pub(crate) fn neg_log2(u: u64) -> u64 {
    let u = u.max(1);
    let floor = u.ilog2();
    let fraction = over(u - (1 << floor), ONE, 1 << floor);
    (64 - u64::from(floor)) * ONE - fraction
}
