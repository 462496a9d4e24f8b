//! Chance that repeats itself: every draw follows from a seed, and a seed's children do not disturb one another.
//!
//! An entry, a fault or a zone takes the child seed of its own number, so that the millionth can be drawn without
//! the ones before it. This module does not know what is drawn.

use fastrand::Rng;

/// A place in the tree of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The seed of the `number`-th thing below this one.
    pub(crate) fn child(self, number: u64) -> Self {
        let spread = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(scramble(self.0.rotate_left(23) ^ spread))
    }

    /// The seed of the thing called `name` below this one.
    pub(crate) fn named(self, name: &str) -> Self {
        let folded = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.child(folded)
    }

    /// A run of draws that begins here.
    pub(crate) fn rng(self) -> Rng {
        Rng::with_seed(self.0)
    }

    /// Whether something of this probability happens here.
    pub(crate) fn happens(self, probability: f64) -> bool {
        // The upper 53 bits fill a float's mantissa exactly: 0 never happens, and 1 always does.
        let drawn = (scramble(self.0) >> 11) as f64 / (1u64 << 53) as f64;
        drawn < probability
    }

    /// A number below `end`, or 0 when there is none.
    pub(crate) fn below(self, end: u64) -> u64 {
        ((u128::from(scramble(self.0)) * u128::from(end)) >> 64) as u64
    }
}

/// One of a constant table's rows, each as likely as the others.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, rows: &[T]) -> T {
    rows[rng.usize(..rows.len())]
}

/// One of a constant table's rows, as likely as its weight says.
pub(crate) fn pick_weighted<'a, T>(
    rng: &mut Rng,
    rows: impl Iterator<Item = &'a T> + Clone,
    weight: impl Fn(&T) -> u32,
) -> &'a T {
    let total: u32 = rows.clone().map(&weight).sum();
    let mut rest = rng.u32(..total);
    for row in rows {
        match rest.checked_sub(weight(row)) {
            None => return row,
            Some(less) => rest = less,
        }
    }
    unreachable!("what is drawn is below the sum of all weights")
}

/// A rank below `count` by Zipf's law: the first is drawn about `r` times as often as the `r`-th.
pub(crate) fn skewed(rng: &mut Rng, count: u32) -> u32 {
    let rank = (f64::from(count) + 1.0).powf(rng.f64()) - 1.0;
    (rank as u32).min(count.saturating_sub(1))
}

/// `digits` hexadecimal digits, as upstream writes most of its ids.
pub(crate) fn hex(rng: &mut Rng, digits: usize) -> String {
    let mut text = String::with_capacity(digits);
    while text.len() < digits {
        let missing = digits - text.len();
        push_hex(&mut text, rng.u64(..), missing.min(16));
    }
    text
}

/// A UUID of version 4 with these random bits.
pub(crate) fn uuid(bits: u128) -> String {
    // The version, and the two bits that say by whose rules it counts.
    let bits = bits & !(0xf000_u128 << 64) & !(0b11 << 62) | (0x4000_u128 << 64) | (0b10 << 62);
    let mut text = String::with_capacity(36);
    for (from, digits) in [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)] {
        if !text.is_empty() {
            text.push('-');
        }
        let part = (bits >> from) as u64;
        push_hex(&mut text, part << (64 - 4 * digits), digits);
    }
    text
}

/// Writes the first `digits` of a number's 16 hexadecimal digits.
fn push_hex(text: &mut String, number: u64, digits: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for place in 0..digits {
        let digit = number >> (60 - 4 * place) & 0xf;
        text.push(char::from(DIGITS[digit as usize]));
    }
}

/// The finaliser of splitmix64: every bit of the input moves about half of the output's.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_kept_and_their_ends_are_exact() {
        let seed = Seed(7);
        let happened = (0..10_000).filter(|&n| seed.child(n).happens(0.25)).count();
        assert!((2_300..2_700).contains(&happened), "{happened}");
        assert!((0..10_000).all(|n| seed.child(n).happens(1.0) && !seed.child(n).happens(0.0)));
    }

    #[test]
    fn low_ranks_are_drawn_most() {
        let mut rng = Seed(7).rng();
        let mut seen = [0u32; 50];
        for _ in 0..20_000 {
            seen[skewed(&mut rng, 50) as usize] += 1;
        }
        assert!(
            seen[0] > 2 * seen[3] && seen[3] > 2 * seen[20] && seen[49] > 0,
            "{seen:?}"
        );
    }

    #[test]
    fn the_ends_of_every_draw_are_safe() {
        let mut rng = Seed(1).rng();
        assert_eq!(skewed(&mut rng, 1), 0);
        assert_eq!(Seed(1).below(0), 0);
        assert_eq!(hex(&mut rng, 32).len(), 32);
        assert_eq!(hex(&mut rng, 40).len(), 40);
    }

    #[test]
    fn ids_are_written_as_everyone_writes_them() {
        let bits = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        let expect = uuid::Builder::from_random_bytes(u128::to_be_bytes(bits)).into_uuid();
        assert_eq!(uuid(bits), expect.to_string());
        let mut text = String::new();
        push_hex(&mut text, 0x0123_4567_89ab_cdef, 5);
        assert_eq!(text, "01234");
    }
}
