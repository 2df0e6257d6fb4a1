//! New inputs from old ones: bytes are changed, removed, repeated and taken from others, words and numbers
//! are exchanged for those of the corpus and for the ends of number ranges.

use std::collections::BTreeSet;

use fastrand::Rng;

/// No input becomes longer.
const LONGEST: usize = 32 << 10;
const BYTES: [u8; 12] = [0, 1, 4, 0x16, 0x45, 0x60, 0x7f, 0x80, 0xff, b'\n', b'"', b' '];
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "-0.5",
];

/// What makes inputs of a corpus.
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    words: Vec<&'a [u8]>,
}

impl<'a> Mutator<'a> {
    pub fn new(corpus: &'a [Vec<u8>]) -> Self {
        let words: BTreeSet<&[u8]> = corpus.iter().flat_map(|input| words(input)).collect();
        Self { corpus, words: words.into_iter().collect() }
    }

    /// An input from one of the corpus by few changes.
    pub fn next(&self, random: &mut Rng) -> Vec<u8> {
        let mut input = self.any(random).to_vec();
        for _ in 0..1 + random.u32(0..5) * random.u32(0..2) {
            self.change(random, &mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn any(&self, random: &mut Rng) -> &[u8] {
        &self.corpus[random.usize(..self.corpus.len())]
    }

    fn change(&self, random: &mut Rng, input: &mut Vec<u8>) {
        if input.is_empty() {
            return input.extend(self.any(random));
        }
        let at = random.usize(..input.len());
        let some = part(random, input.len());
        match random.u32(..11) {
            0 => input[at] ^= 1 << random.u32(..8),
            1 => input[at] = random.u8(..),
            2 => input[at] = BYTES[random.usize(..BYTES.len())],
            3 => input.truncate(at),
            4 => drop(input.drain(some)),
            5 => {
                let piece = input[some].to_vec();
                insert(input, at, &piece);
            }
            6 => {
                let other = self.any(random);
                let piece = &other[part(random, other.len())];
                insert(input, at, piece);
            }
            7 => input.extend(self.any(random)),
            8 => self.exchange(random, input, at),
            9 => number(random, input, at),
            _ => insert(input, at, self.word(random)),
        }
    }

    fn word(&self, random: &mut Rng) -> &[u8] {
        random.choice(&self.words).copied().unwrap_or_default()
    }

    /// Another word in the place of the one that begins next.
    fn exchange(&self, random: &mut Rng, input: &mut Vec<u8>, at: usize) {
        if let Some(old) = run(input, at, |byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            input.splice(old, self.word(random).iter().copied());
        }
    }
}

/// Another number in the place of the one that begins next.
fn number(random: &mut Rng, input: &mut Vec<u8>, at: usize) {
    if let Some(old) = run(input, at, |byte| byte.is_ascii_digit()) {
        let new = NUMBERS[random.usize(..NUMBERS.len())];
        input.splice(old, new.bytes());
    }
}

/// The first run of such bytes at or behind a place.
fn run(input: &[u8], at: usize, is_of: impl Fn(u8) -> bool) -> Option<std::ops::Range<usize>> {
    let from = at + input[at..].iter().position(|byte| is_of(*byte))?;
    let length = input[from..].iter().position(|byte| !is_of(*byte));
    Some(from..length.map_or(input.len(), |length| from + length))
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

fn part(random: &mut Rng, length: usize) -> std::ops::Range<usize> {
    let from = random.usize(..=length);
    // Most parts are short.
    let most = if random.bool() { 16 } else { length };
    from..length.min(from + random.usize(..=most))
}

/// Words as every format here has them.
fn words(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = input.split(|byte| !byte.is_ascii_alphanumeric() && !b"_.:/-".contains(byte));
    words.filter(|word| (2..40).contains(&word.len()))
}
