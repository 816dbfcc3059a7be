//! Smooth weighted round robin: of every `total weight` picks each place gets exactly its weight, spread as evenly as
//! they go. Knows nothing of nodes: places are numbers.

/// Standings are counted in fractions of a pick, so that halving them at every change forgets nobody.
const FINENESS: i64 = 1 << 10;

/// The state of one rotation. A pick looks at every place once and allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wheel {
    weights: Vec<i64>,
    current: Vec<i64>,
    total: i64,
}

impl Wheel {
    /// Places with these weights, none of which was picked yet.
    pub(super) fn new(weights: Vec<i64>) -> Self {
        let weights: Vec<i64> = weights.into_iter().map(|weight| weight * FINENESS).collect();
        Self { current: vec![0; weights.len()], total: weights.iter().sum(), weights }
    }

    /// Places with these weights after a change. `before[i]` is what [`Wheel::standing`] said of place `i` in the wheel
    /// before, if it was there: who had waited longest still comes first.
    ///
    /// Standings are taken over at half their share of the new total. At full size they could exceed what this wheel
    /// would ever reach by itself, and its first rounds would not keep to the weights.
    pub(super) fn continuing(weights: Vec<i64>, before: &[Option<i64>], total_before: i64) -> Self {
        let mut wheel = Self::new(weights);
        if total_before > 0 {
            for (current, before) in wheel.current.iter_mut().zip(before) {
                *current = before.unwrap_or_default() * wheel.total / total_before / 2;
            }
        }
        wheel
    }

    /// How far a place is ahead of (positive) or behind its share.
    pub(super) fn standing(&self, place: usize) -> i64 {
        self.current[place]
    }

    /// Sum of the weights, in the unit of [`Wheel::standing`].
    pub(super) fn total(&self) -> i64 {
        self.total
    }

    /// The next place; `None` when there are none.
    pub(super) fn pick(&mut self) -> Option<usize> {
        let mut best = None;
        let mut most = i64::MIN;
        for (place, (current, weight)) in self.current.iter_mut().zip(&self.weights).enumerate() {
            *current += weight;
            if *current > most {
                most = *current;
                best = Some(place);
            }
        }
        if let Some(place) = best {
            self.current[place] -= self.total;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(wheel: &mut Wheel, count: usize) -> Vec<usize> {
        (0..count).map(|_| wheel.pick().unwrap()).collect()
    }

    /// Whether every run of `total` picks in a row gives each place its weight.
    fn is_exact(sequence: &[usize], weights: &[i64]) -> bool {
        let total = weights.iter().sum::<i64>() as usize;
        sequence.windows(total).all(|window| {
            weights
                .iter()
                .enumerate()
                .all(|(place, weight)| window.iter().filter(|picked| **picked == place).count() == *weight as usize)
        })
    }

    /// A reproducible sequence of numbers below `limit`.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |limit| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        }
    }

    #[test]
    fn three_and_two_of_every_five_and_never_a_long_run_of_one() {
        let mut wheel = Wheel::new(vec![3, 2]);
        assert_eq!(picks(&mut wheel, 10), [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]);
        assert!(is_exact(&picks(&mut wheel, 50), &[3, 2]));
        assert_eq!(Wheel::new(vec![]).pick(), None);
    }

    #[test]
    fn shares_are_exact_again_at_once_after_any_change() {
        let mut number = numbers(7);
        for _ in 0..3000 {
            let places = 2 + number(5) as usize;
            let weights: Vec<i64> = (0..places).map(|_| 1 + number(9) as i64).collect();
            let mut wheel = Wheel::new(weights.clone());
            picks(&mut wheel, number(60) as usize);
            // Some leave, some change their weight, one may come.
            let mut after = Vec::new();
            let mut before = Vec::new();
            for (place, weight) in weights.iter().enumerate() {
                if number(10) < 7 {
                    after.push(if number(10) < 8 { *weight } else { 1 + number(9) as i64 });
                    before.push(Some(wheel.standing(place)));
                }
            }
            if after.is_empty() || number(2) == 0 {
                after.push(1 + number(9) as i64);
                before.push(None);
            }
            let mut wheel = Wheel::continuing(after.clone(), &before, wheel.total());
            let sequence = picks(&mut wheel, after.iter().sum::<i64>() as usize * 4);
            assert!(is_exact(&sequence, &after), "{weights:?} to {after:?} from {before:?}: {sequence:?}");
        }
    }

    #[test]
    fn frequent_changes_do_not_favour_the_first() {
        let mut wheel = Wheel::new(vec![1; 4]);
        let mut counts = [0; 4];
        for _ in 0..400 {
            counts[wheel.pick().unwrap()] += 1;
            let before: Vec<_> = (0..4).map(|place| Some(wheel.standing(place))).collect();
            wheel = Wheel::continuing(vec![1; 4], &before, wheel.total());
        }
        assert!(counts.iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    }
}
