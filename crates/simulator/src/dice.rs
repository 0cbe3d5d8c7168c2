//! Chance that repeats: every choice is a function of the seed and of what the choice is about.

/// A SplitMix64 sequence. Statistical quality is all that is asked of it; nothing secret comes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dice(u64);

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// The sequence of `seed` for the subject that `parts` name.
    pub(crate) fn new(seed: u64, parts: &[&str]) -> Self {
        let mut hash = FNV_OFFSET ^ seed.wrapping_mul(GOLDEN_RATIO);
        for part in parts {
            // 0xff is in no UTF-8 text, so ("ab", "c") and ("a", "bc") differ.
            for byte in part.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
        }
        Self(hash)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_RATIO);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound.max(1))).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> i64 {
        i64::from(low) + i64::from(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True with this share, from 0 to 1.
    pub(crate) fn share(&mut self, share: f64) -> bool {
        f64::from(self.below(1_000_000)) < share * 1_000_000.0
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T], otherwise: &'a T) -> &'a T {
        let bound = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let index = usize::try_from(self.below(bound)).unwrap_or_default();
        choices.get(index).copied().unwrap_or(otherwise)
    }

    /// `digits` decimal digits.
    pub(crate) fn digits(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from_digit(self.below(10), 10).unwrap_or('0')).collect()
    }

    /// `length` lower-case hex digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from_digit(self.below(16), 16).unwrap_or('0')).collect()
    }

    /// Something that looks like a version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (first, second, third, last) = (self.hex(8), self.hex(4), self.hex(3), self.hex(12));
        let variant = self.pick(&["8", "9", "a", "b"], "8");
        format!("{first}-{second}-4{third}-{variant}{rest}-{last}", rest = self.hex(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_subject_gets_the_same_sequence_and_another_subject_another_one() {
        let mut sequences: Vec<Vec<u64>> = [(1, ["ab", "c"]), (1, ["a", "bc"]), (2, ["ab", "c"])]
            .iter()
            .map(|(seed, parts)| {
                let mut dice = Dice::new(*seed, parts);
                (0..4).map(|_| dice.next()).collect()
            })
            .collect();
        let mut again = Dice::new(1, &["ab", "c"]);
        assert_eq!(sequences[0], (0..4).map(|_| again.next()).collect::<Vec<_>>());
        sequences.dedup();
        assert_eq!(sequences.len(), 3);
    }

    #[test]
    fn shares_are_kept() {
        let mut dice = Dice::new(7, &["shares"]);
        let hits = (0..10_000).filter(|_| dice.share(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!(0..1_000).any(|_| dice.share(0.0)));
        assert!((0..1_000).all(|_| dice.share(1.0)));
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
    }

    #[test]
    fn uuids_look_like_uuids() {
        let uuid = Dice::new(1, &["call"]).uuid();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    }
}
