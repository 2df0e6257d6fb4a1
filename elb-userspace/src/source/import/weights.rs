//! Weights of other load balancers as weights of members here.

/// The largest weight of a member.
const MOST: u32 = 100;

/// Weights that members may have, in the same proportions but for rounding to whole numbers.
pub(super) fn scaled(wanted: &[u32]) -> Vec<u32> {
    let most = wanted.iter().copied().max().unwrap_or(0);
    if most <= MOST {
        return wanted.to_vec();
    }
    let common = wanted.iter().copied().fold(0, divisor);
    let scale = |weight: u32| {
        if most / common <= MOST {
            return weight / common;
        }
        let scaled = u64::from(weight) * u64::from(MOST) / u64::from(most);
        u32::try_from(scaled).unwrap_or(MOST).max(u32::from(weight > 0))
    };
    wanted.iter().copied().map(scale).collect()
}

/// The greatest common divisor.
const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept() {
        assert_eq!(scaled(&[1, 100]), [1, 100]);
        assert_eq!(scaled(&[100, 200, 300]), [1, 2, 3]);
        assert_eq!(scaled(&[1000, 1, 0]), [100, 1, 0]);
        assert_eq!(scaled(&[255, 256]), [99, 100]);
        assert!(scaled(&[]).is_empty());
    }
}
