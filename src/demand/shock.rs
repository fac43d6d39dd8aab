//! Shocks: what one signal does to attention.

use crate::scenario::{Attention, Signal};

/// A push on attention: strengths are peak excess over a normal day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shock {
    /// When it starts, seconds of scenario time.
    pub at: f64,
    /// Interest that it adds.
    pub interest: f64,
    /// Part of the base demand that it takes away.
    pub fear: f64,
    /// Concern that it adds.
    pub concern: f64,
}

/// The shocks of one signal; `multiple` is the variant's multiple of every strength.
///
/// A price move alone moves little; volume confirms it, and a rise then multiplies: strength per tenfold volume × (1 + move / 10 %).
/// A fall takes that factor down to nothing at −10 %: selling volume does not bring visitors. Volume or mentions below normal take
/// nothing away. A listing is two shocks: its announcement and its start of trading.
#[must_use]
pub fn shocks(signal: &Signal, attention: &Attention, multiple: f64) -> Vec<Shock> {
    let weight = signal.confidence * multiple;
    let (rise, fall) = (signal.price.max(0.0), (-signal.price).max(0.0));
    let confirmed = tenfolds(signal.volume) * (1.0 + signal.price / 0.1).max(0.0);
    let announced = if signal.go_live.is_some() { attention.listing_announce } else { 0.0 };
    let interest = attention.price * rise
        + attention.volume * confirmed
        + attention.mentions * tenfolds(signal.mentions)
        + announced;
    let main = Shock {
        at: signal.at.as_secs_f64(),
        interest: weight * interest,
        fear: weight * attention.fear * fall,
        concern: weight * attention.concern * fall,
    };
    let go_live = signal.go_live.map(|at| Shock {
        at: at.as_secs_f64(),
        interest: weight * attention.listing_go_live,
        ..Shock::default()
    });
    std::iter::once(main).chain(go_live).collect()
}

fn tenfolds(multiple: f64) -> f64 {
    libm::log10(multiple.max(1.0))
}

/// The course of a shock of strength 1: a straight rise to the peak, then the power-law relaxation (1 + t/c)^−(1+θ) of an exogenous
/// sub-critical shock (Crane & Sornette, PNAS 2008).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    rise: f64,
    relax: f64,
    exponent: f64,
}

impl Shape {
    /// The shape that a scenario's attention asks for.
    #[must_use]
    pub fn new(attention: &Attention) -> Self {
        Self {
            rise: attention.rise.as_secs_f64(),
            relax: attention.relax.as_secs_f64(),
            exponent: 1.0 + attention.theta,
        }
    }

    /// Its value `age` seconds after the shock, 0..=1.
    #[must_use]
    pub fn at(&self, age: f64) -> f64 {
        if age < 0.0 {
            return 0.0;
        }
        if age < self.rise {
            return age / self.rise;
        }
        let since_peak = age - self.rise;
        if since_peak == 0.0 { 1.0 } else { libm::pow(1.0 + since_peak / self.relax, -self.exponent) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::sample;

    fn interest(signal: &Signal) -> f64 {
        shocks(signal, &sample::attention(), 1.0).iter().map(|shock| shock.interest).sum()
    }

    #[test]
    fn a_small_price_move_alone_does_nearly_nothing() {
        assert!(interest(&Signal { price: 0.03, ..sample::signal("up") }) < 0.05);
    }

    #[test]
    fn volume_counts_without_a_price_move_and_more_with_one() {
        let volume = Signal { volume: 10.0, ..sample::signal("volume") };
        let alone = interest(&volume);
        assert!((alone - sample::attention().volume).abs() < 1e-12);
        let price_alone = interest(&Signal { price: 0.1, ..sample::signal("price") });
        let both = interest(&Signal { price: 0.1, ..volume.clone() });
        assert!((both - (2.0 * alone + price_alone)).abs() < 1e-12);
        assert_eq!(interest(&Signal { price: -0.2, ..volume }), 0.0);
    }

    #[test]
    fn a_listing_overwhelms_the_same_small_price_move() {
        let small = Signal { price: 0.03, ..sample::signal("up") };
        let listing =
            Signal { at: Duration::from_secs(60), go_live: Some(Duration::from_secs(3600)), ..small.clone() };
        assert!(interest(&listing) > 50.0 * interest(&small));
        let pair = shocks(&listing, &sample::attention(), 1.0);
        assert_eq!(pair.iter().map(|shock| shock.at).collect::<Vec<_>>(), [60.0, 3600.0]);
    }

    #[test]
    fn confidence_and_the_variant_scale_everything() {
        let fall = Signal { price: -0.2, mentions: 10.0, ..sample::signal("fall") };
        let sure = shocks(&fall, &sample::attention(), 1.0)[0];
        let doubtful = shocks(&Signal { confidence: 0.5, ..fall }, &sample::attention(), 3.0)[0];
        for (sure, doubtful) in
            [(sure.interest, doubtful.interest), (sure.fear, doubtful.fear), (sure.concern, doubtful.concern)]
        {
            assert!(sure > 0.0 && (doubtful - 1.5 * sure).abs() < 1e-12);
        }
    }

    #[test]
    fn quiet_markets_take_nothing_away() {
        assert_eq!(interest(&Signal { volume: 0.0, mentions: 0.2, ..sample::signal("quiet") }), 0.0);
    }

    #[test]
    fn the_shape_rises_to_one_and_relaxes_with_its_exponent() {
        let shape = Shape { rise: 600.0, relax: 60.0, exponent: 1.4 };
        assert_eq!((shape.at(-1.0), shape.at(300.0), shape.at(600.0)), (0.0, 0.5, 1.0));
        let (early, late) = (600.0 + 6e4, 600.0 + 6e6);
        let slope = (shape.at(late) / shape.at(early)).log10() / 2.0;
        assert!((slope + 1.4).abs() < 0.002, "log-log slope {slope}");
    }
}
