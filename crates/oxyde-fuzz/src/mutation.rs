//! Inputs made of others, the same ones in every run.

/// Numbers that look random (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

const EDGES: &[u8] = &[0, 1, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];

/// One of the seeds with one to eight changes.
pub fn mutated(seeds: &[Vec<u8>], words: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.pick(seeds).cloned().unwrap_or_default();
    for _ in 0..1 + chance.below(8) {
        let at = chance.below(input.len() + 1);
        let span = at..(at + 1 + chance.below(8)).min(input.len()).max(at);
        match chance.below(8) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = chance.byte(),
            2 if at < input.len() => input[at] = *chance.pick(EDGES).unwrap(),
            3 => {
                input.drain(span);
            }
            4 => {
                let copied = input[span].to_vec();
                input.splice(at..at, copied);
            }
            5 => {
                let word = chance.pick(words).cloned().unwrap_or_default();
                input.splice(at..at, word);
            }
            6 => {
                let other = chance.pick(seeds).cloned().unwrap_or_default();
                let from = chance.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let some = (0..chance.below(5)).map(|_| chance.byte());
                let some: Vec<u8> = some.collect();
                input.splice(at..at, some);
            }
        }
    }
    input.truncate(1 << 14);
    input
}
