//! Weighted choices.

use crate::scenario::{Catalogue, Via};

/// A choice among weighted things by Walker's alias method (Vose 1991): every slot holds a part of its own thing and a part of another
/// one. (`rand_distr`'s alias table can fail to be built and does not promise to draw the same values in its next version.)
#[derive(Debug)]
pub(super) struct Choice {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Part of the slot that belongs to its own thing, 0..=1.
    own: f64,
    /// Whose the rest is.
    other: u32,
}

impl Choice {
    /// A choice among at most 2^32 things.
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut slots: Vec<Slot> =
            (0..).zip(&left).map(|(thing, _)| Slot { own: 1.0, other: thing }).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..left.len()).rev().partition(|thing| left[*thing] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            slots[poor] = Slot { own: left[poor], other: rich as u32 };
            left[rich] -= 1.0 - left[poor];
            if left[rich] < 1.0 { small.push(rich) } else { large.push(rich) }
        }
        Self { slots }
    }

    /// Everything that decides what is picked.
    pub(super) fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        self.slots.iter().flat_map(|slot| [slot.own, f64::from(slot.other)])
    }

    /// A choice among all content by its popularity.
    pub(super) fn content(catalogue: &Catalogue) -> Self {
        Self::new(catalogue.weights())
    }

    /// A choice among the content of swarms; `None` where it is the same as among all, or where there is none.
    pub(super) fn swarm_content(catalogue: &Catalogue) -> Option<Self> {
        let weights = || {
            let of_swarm = |(weight, via)| if via == Via::Swarm { weight } else { 0.0 };
            catalogue.weights().zip(catalogue.vias()).map(of_swarm)
        };
        let mixed = weights().any(|weight| weight == 0.0) && weights().any(|weight| weight > 0.0);
        mixed.then(|| Self::new(weights()))
    }

    /// The thing that belongs to a number in 0..1.
    pub(super) fn pick(&self, uniform: f64) -> usize {
        let place = uniform * self.slots.len() as f64;
        let thing = (place as usize).min(self.slots.len().saturating_sub(1));
        match self.slots.get(thing) {
            Some(slot) if place - thing as f64 >= slot.own => slot.other as usize,
            _ => thing,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Share of the numbers in 0..1 that pick each thing.
    fn shares(choice: &Choice) -> Vec<f64> {
        let mut shares = vec![0.0; choice.slots.len()];
        for (thing, slot) in choice.slots.iter().enumerate() {
            shares[thing] += slot.own / choice.slots.len() as f64;
            shares[slot.other as usize] += (1.0 - slot.own) / choice.slots.len() as f64;
        }
        shares
    }

    proptest! {
        #[test]
        fn everything_is_picked_by_its_weight(weights in prop::collection::vec(0.0..10.0_f64, 1..50)) {
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            for (share, weight) in shares(&Choice::new(weights.iter().copied())).iter().zip(&weights) {
                prop_assert!((share - weight / sum).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn numbers_pick_what_the_slots_say() {
        let choice = Choice::new([1.0, 0.0, 3.0].into_iter());
        let picks = |thing: usize| (0..3000).filter(|i| choice.pick(f64::from(*i) / 3000.0) == thing).count();
        assert_eq!([0, 1, 2].map(picks), [750, 0, 2250]);
        assert!(choice.pick(1.0) < 3);
    }

    #[test]
    fn zipf_one_makes_the_second_rank_half_as_popular() {
        let mut catalogue = crate::scenario::sample::sample().content;
        catalogue.zipf = 1.0;
        let shares = shares(&Choice::content(&catalogue));
        assert_eq!(shares.len(), 32);
        assert!((shares[0] / shares[1] - 2.0).abs() < 1e-9);
    }
}
