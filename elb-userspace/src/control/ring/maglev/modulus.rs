//! Arithmetic modulo the size of a ring, without divisions.

/// An odd prime below 2^31.
#[derive(Clone, Copy)]
pub(super) struct Modulus {
    size: u32,
    /// 2^64 / size, rounded down.
    reciprocal: u64,
}

impl Modulus {
    pub(super) const fn new(size: u32) -> Self {
        Self { size, reciprocal: u64::MAX / size as u64 }
    }

    #[inline]
    pub(super) const fn add(self, a: u32, b: u32) -> u32 {
        let sum = a + b;
        if sum >= self.size { sum - self.size } else { sum }
    }

    #[inline]
    pub(super) const fn subtract(self, a: u32, b: u32) -> u32 {
        if a >= b { a - b } else { a + self.size - b }
    }

    /// Barrett's reduction: the estimated quotient is at most one too small.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 2 * size < 2^32")]
    pub(super) const fn multiply(self, a: u32, b: u32) -> u32 {
        let product = a as u64 * b as u64;
        let quotient = ((product as u128 * self.reciprocal as u128) >> 64) as u64;
        let remainder = (product - quotient * self.size as u64) as u32;
        if remainder >= self.size { remainder - self.size } else { remainder }
    }

    /// The number whose product with `a`, which is not 0, is 1: `a` to the power of size - 2
    /// (Fermat).
    pub(super) fn inverse(self, a: u32) -> u32 {
        let mut power = a;
        let mut inverse = 1;
        let mut exponent = self.size - 2;
        while exponent > 0 {
            if exponent & 1 == 1 {
                inverse = self.multiply(inverse, power);
            }
            power = self.multiply(power, power);
            exponent >>= 1;
        }
        inverse
    }
}

/// Whether `n` is a prime that [`Modulus`] takes.
pub(super) fn is_odd_prime(n: u32) -> bool {
    (3..1 << 31).contains(&n)
        && !n.is_multiple_of(2)
        && (3..=n.isqrt()).step_by(2).all(|divisor| !n.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn primes() {
        for size in [3, 13, 4_093, 16_381, 65_537, 655_373, 2_147_483_647] {
            assert!(is_odd_prime(size), "{size}");
        }
        for size in [0, 1, 2, 9, 49, 655_371, 1 << 31, u32::MAX] {
            assert!(!is_odd_prime(size), "{size}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_division(
            size in prop::sample::select(&[3u32, 4_093, 65_537, 655_373, 2_147_483_647]),
            a: u32,
            b: u32,
        ) {
            let (a, b, modulus) = (a % size, b % size, Modulus::new(size));
            let wide = |x: u32| u64::from(x);
            prop_assert_eq!(wide(modulus.add(a, b)), (wide(a) + wide(b)) % wide(size));
            prop_assert_eq!(modulus.add(modulus.subtract(a, b), b), a);
            prop_assert_eq!(wide(modulus.multiply(a, b)), wide(a) * wide(b) % wide(size));
            prop_assert!(a == 0 || modulus.multiply(a, modulus.inverse(a)) == 1);
        }
    }
}
