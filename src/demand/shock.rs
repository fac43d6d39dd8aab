//! Shocks: what one signal does to attention.

use crate::scenario::{Attention, Signal};

/// A push on attention: strengths are peak excess over a normal day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shock {
    /// When it starts, seconds of scenario time; when it peaks, if it has a ramp.
    pub at: f64,
    /// Seconds over which it builds up before `at`; 0 for a shock from outside.
    pub ramp: f64,
    /// Seconds from `at` to its peak, if it has no ramp; the attention's where `None`.
    pub rise: Option<f64>,
    /// Time constant of its relaxation, seconds; the attention's where `None`.
    pub relax: Option<f64>,
    /// Interest that it adds.
    pub interest: f64,
    /// Part of the base demand that it takes away.
    pub fear: f64,
    /// Concern that it adds.
    pub concern: f64,
    /// Part of all interest that a move of the whole market adds or takes away.
    pub market: f64,
}

impl Shock {
    /// Everything that it moves, whatever the direction.
    #[must_use]
    pub fn force(&self) -> f64 {
        self.interest + self.fear + self.concern + self.market.abs()
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            interest: self.interest * factor,
            fear: self.fear * factor,
            concern: self.concern * factor,
            market: self.market * factor,
            ..self
        }
    }
}

/// The shocks of one signal; `multiple` is the variant's multiple of every strength.
///
/// A price move alone moves little; volume confirms it, and a rise then multiplies: strength per tenfold volume × (1 + move / 10 %).
/// A fall takes that factor down to nothing at −10 %: selling volume does not bring visitors. Volume or mentions below normal take
/// nothing away. Mentions count for interest by 1 + sentiment, and for concern by what a bad mood takes from that. A listing is two
/// shocks: its announcement and its start of trading. Every echo repeats them all.
#[must_use]
pub fn shocks(signal: &Signal, attention: &Attention, multiple: f64) -> Vec<Shock> {
    let weight = signal.confidence * signal.quality * multiple;
    let (rise, fall) = (signal.price.max(0.0), (-signal.price).max(0.0));
    let confirmed = tenfolds(signal.volume) * (1.0 + signal.price / 0.1).max(0.0);
    let mentioned = attention.mentions * tenfolds(signal.mentions);
    let announced = if signal.go_live.is_some() { attention.listing_announce } else { 0.0 };
    let follows = attention.price * rise
        + attention.volume * confirmed
        + mentioned * (1.0 + signal.sentiment)
        + announced;
    let lag = signal.lag.as_secs_f64();
    let main = Shock {
        at: signal.at.as_secs_f64() + lag,
        ramp: signal.ramp.as_secs_f64(),
        rise: signal.rise.map(|rise| rise.as_secs_f64()),
        relax: signal.relax.map(|relax| relax.as_secs_f64()),
        interest: signal.strength.unwrap_or(follows),
        fear: attention.fear * fall,
        concern: attention.concern * (fall + (-signal.market).max(0.0))
            + mentioned * (-signal.sentiment).max(0.0),
        market: attention.beta * signal.market,
    };
    let go_live = signal.go_live.map(|at| Shock {
        at: at.as_secs_f64() + lag,
        interest: attention.listing_go_live,
        rise: main.rise,
        relax: main.relax,
        ..Shock::default()
    });
    let first: Vec<Shock> = std::iter::once(main).chain(go_live).map(|shock| shock.scaled(weight)).collect();
    let again = signal.echoes.iter().flat_map(|echo| {
        let delay = echo.delay.as_secs_f64();
        first.iter().map(move |shock| Shock {
            at: shock.at + delay,
            ramp: 0.0,
            ..shock.scaled(echo.strength)
        })
    });
    first.iter().copied().chain(again).collect()
}

fn tenfolds(multiple: f64) -> f64 {
    libm::log10(multiple.max(1.0))
}

/// The course of a shock of strength 1 (Crane & Sornette, PNAS 2008). From outside: a straight rise to the peak, then the relaxation
/// (1 + t/c)^−(1+θ) of an exogenous sub-critical shock. With a ramp: growth and relaxation with 1−2θ on either side of the peak, as
/// attention does that feeds on itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    rise: f64,
    relax: f64,
    theta: f64,
}

impl Shape {
    /// The shape that a scenario's attention asks for.
    #[must_use]
    pub fn new(attention: &Attention) -> Self {
        Self {
            rise: attention.rise.as_secs_f64(),
            relax: attention.relax.as_secs_f64(),
            theta: attention.theta,
        }
    }

    /// The value of a shock's course at a moment of scenario time, 0..=1.
    #[must_use]
    pub fn at(&self, shock: &Shock, t: f64) -> f64 {
        let (rise, relax) = (shock.rise.unwrap_or(self.rise), shock.relax.unwrap_or(self.relax));
        let own = Self { rise, relax, ..*self };
        let age = t - shock.at;
        if shock.ramp > 0.0 { own.endogenous(age, shock.ramp) } else { own.exogenous(age) }
    }

    fn exogenous(&self, age: f64) -> f64 {
        if age < 0.0 {
            return 0.0;
        }
        if age < self.rise {
            return age / self.rise;
        }
        self.relaxed(age - self.rise, 1.0 + self.theta)
    }

    /// The growth begins at 0 when the ramp does.
    fn endogenous(&self, age: f64, ramp: f64) -> f64 {
        let exponent = 1.0 - 2.0 * self.theta;
        if age >= 0.0 {
            return self.relaxed(age, exponent);
        }
        let least = self.relaxed(ramp, exponent);
        ((self.relaxed(-age, exponent) - least) / (1.0 - least)).max(0.0)
    }

    fn relaxed(&self, since_peak: f64, exponent: f64) -> f64 {
        if since_peak == 0.0 { 1.0 } else { libm::pow(1.0 + since_peak / self.relax, -exponent) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Echo, sample};

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
        let (shape, shock) = (Shape { rise: 600.0, relax: 60.0, theta: 0.4 }, Shock::default());
        let at = |t| shape.at(&shock, t);
        assert_eq!((at(-1.0), at(300.0), at(600.0)), (0.0, 0.5, 1.0));
        let (early, late) = (600.0 + 6e4, 600.0 + 6e6);
        let slope = (at(late) / at(early)).log10() / 2.0;
        assert!((slope + 1.4).abs() < 0.002, "log-log slope {slope}");
    }

    #[test]
    fn a_signal_may_have_a_course_of_its_own() {
        let signal = Signal {
            rise: Some(Duration::from_secs(60)),
            relax: Some(Duration::from_secs(30)),
            strength: Some(3.0),
            ..sample::signal("spike")
        };
        let shock = shocks(&signal, &sample::attention(), 1.0)[0];
        let shape = Shape { rise: 600.0, relax: 7200.0, theta: 1.0 };
        let at = |t| shape.at(&shock, shock.at + t);
        assert_eq!((at(30.0), at(60.0), at(90.0)), (0.5, 1.0, 0.25));
    }

    #[test]
    fn a_ramp_builds_up_to_the_peak_and_relaxes_as_slowly() {
        let (shape, shock) =
            (Shape { rise: 600.0, relax: 60.0, theta: 0.4 }, Shock { ramp: 7200.0, ..Shock::default() });
        let at = |t| shape.at(&shock, t);
        assert_eq!((at(-7300.0), at(-7200.0), at(0.0)), (0.0, 0.0, 1.0));
        let grows: Vec<f64> = (0..=72).map(|i| at(-7200.0 + 100.0 * f64::from(i))).collect();
        assert!(grows.is_sorted_by(|a, b| a < b));
        let slope = (at(6e6) / at(6e4)).log10() / 2.0;
        assert!((slope + 0.2).abs() < 0.002, "log-log slope {slope}");
    }

    #[test]
    fn price_alone_moves_little_with_volume_more_and_with_a_listing_much() {
        let price = Signal { price: 0.15, ..sample::signal("price") };
        let confirmed = Signal { volume: 3.0, ..price.clone() };
        let listing = Signal { go_live: Some(Duration::from_secs(30_000)), ..confirmed.clone() };
        let [price, confirmed, listing] = [price, confirmed, listing].map(|signal| interest(&signal));
        assert!(
            price < 0.1 && confirmed > 5.0 * price && listing > 5.0 * confirmed,
            "{price} {confirmed} {listing}"
        );
    }

    #[test]
    fn mood_lag_echoes_market_and_an_explicit_strength() {
        let bad = Signal {
            mentions: 10.0,
            sentiment: -0.25,
            market: -0.1,
            lag: Duration::from_secs(100),
            quality: 0.5,
            echoes: vec![Echo { delay: Duration::from_secs(1000), strength: 0.5 }],
            ..sample::signal("bad")
        };
        let attention = sample::attention();
        let [first, again] = shocks(&bad, &attention, 1.0)[..] else { panic!("a shock and its echo") };
        assert_eq!((first.at, again.at), (21_700.0, 22_700.0));
        assert!((first.interest - 0.5 * 0.75 * attention.mentions).abs() < 1e-12);
        assert!((first.concern - 0.5 * (0.25 * attention.mentions + 0.1 * attention.concern)).abs() < 1e-12);
        assert!((first.market + 0.5 * 0.1 * attention.beta).abs() < 1e-12);
        assert!((again.force() / first.force() - 0.5).abs() < 1e-12);
        assert_eq!(interest(&Signal { strength: Some(3.0), ..sample::signal("told") }), 3.0);
    }
}
