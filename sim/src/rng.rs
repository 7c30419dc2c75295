//! Random numbers from a seed: xoshiro256++, with the few distributions that a fleet needs.
//!
//! Source: D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021;
//! seeded by splitmix64 as its authors advise.

/// A stream of random numbers; the same seed gives the same stream for ever.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// The finalizer of splitmix64: spreads the bits of any number.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Rng {
    /// The stream of that seed.
    pub fn new(seed: u64) -> Self {
        let mut step = seed;
        let state = std::array::from_fn(|_| {
            step = step.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(step)
        });
        Self { state }
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let [one, two, three, four] = self.state;
        let result = one.wrapping_add(four).rotate_left(23).wrapping_add(one);
        let (three, four) = (three ^ one, four ^ two);
        self.state = [one ^ four, two ^ three, three ^ (two << 17), four.rotate_left(45)];
        result
    }

    /// A whole number in `0..count`, by multiplication: biased by less than 2^-32.
    pub const fn below(&mut self, count: u32) -> u32 {
        (((self.bits() >> 32) * count as u64) >> 32) as u32
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Time to the next event of a Poisson process of that rate; infinite for a rate of 0.
    pub fn wait(&mut self, rate: f64) -> f64 {
        if rate > 0.0 { -libm::log(1.0 - self.unit()) / rate } else { f64::INFINITY }
    }

    /// A position in `weights`, each with the probability of its share of the sum.
    pub fn pick(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.unit() * weights.iter().sum::<f64>();
        for (position, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return position;
            }
        }
        weights.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_one_of_the_published_algorithm() {
        // The first outputs of the authors' C code from this state.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| rng.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn waits_have_the_mean_of_their_rate() {
        let mut rng = Rng::new(7);
        let mean = (0..100_000).map(|_| rng.wait(0.25)).sum::<f64>() / 100_000.0;
        assert!((mean - 4.0).abs() < 0.05, "{mean}");
        assert!(rng.wait(0.0).is_infinite());
    }

    #[test]
    fn picks_follow_their_weights() {
        let mut rng = Rng::new(7);
        let mut counts = [0_u32; 3];
        for _ in 0..100_000 {
            counts[rng.pick(&[0.1, 0.0, 0.3])] += 1;
        }
        assert!((24_000..26_000).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[1], 0);
    }
}
