use std::time::Duration;

use super::*;
use crate::scenario::{ConfounderKind, sample};

fn attention() -> Attention {
    Attention {
        rise: Duration::ZERO,
        relax: Duration::from_secs(60),
        theta: 0.4,
        branching: 0.0,
        ..sample::attention()
    }
}

fn level(shocks: &[Shock], attention: &Attention, length: f64) -> Level {
    Level::new(shocks, &[], attention, length, None)
}

fn exponential(delay: f64, branching: f64, step: f64) -> Cascade {
    Cascade::new(&Memory::exponential(delay), branching, step)
}

#[test]
fn a_constant_push_settles_at_the_stationary_gain() {
    for (branching, delay, step) in [(0.5, 300.0, 60.0), (0.8, 10.0, 600.0), (0.3, 1e-3, 60.0)] {
        let response = response(&vec![2.0; 4000], exponential(delay, branching, step));
        let gain = response[3999] / 2.0;
        assert!((gain - 1.0 / (1.0 - branching)).abs() < 1e-9, "n = {branching}: gain {gain}");
    }
}

#[test]
fn a_constant_push_builds_up_as_the_theory_says() {
    let (n, delay, step) = (0.6, 1800.0, 45.0);
    for (i, x) in response(&[1.0; 400], exponential(delay, n, step)).iter().enumerate() {
        // The tick's average stands in its middle.
        let t = (i as f64 + 0.5) * step;
        let theory = 1.0 + n / (1.0 - n) * (1.0 - (-(1.0 - n) * t / delay).exp());
        assert!((x / theory - 1.0).abs() < 1e-3, "{x} against {theory} at {t} s");
    }
}

#[test]
fn a_short_pulse_comes_back_multiplied_by_the_mean_cluster_size() {
    let mut pulse = vec![0.0; 20_000];
    pulse[10..20].fill(1.0);
    let total: f64 = response(&pulse, exponential(200.0, 0.75, 10.0)).iter().sum();
    assert!((total / 10.0 - 4.0).abs() < 1e-6, "{total}");
}

#[test]
fn without_self_excitation_attention_relaxes_with_one_plus_theta() {
    let shock = Shock { interest: 5.0, ..Shock::default() };
    let level = level(&[shock], &attention(), 604_800.0);
    let excess = |t: f64| level.at(Channel::Interest, t) - 1.0;
    let slope = (excess(5e5) / excess(5e4)).log10();
    assert!((slope + 1.4).abs() < 0.002, "log-log slope {slope}");
}

#[test]
fn a_fall_takes_base_demand_away_and_raises_concern_only() {
    let shock = Shock { at: 100.0, fear: 0.3, concern: 4.0, ..Shock::default() };
    let one = level(&[shock], &attention(), 16_384.0);
    assert!((one.at(Channel::Interest, 100.0) - 0.7).abs() < 1e-9);
    assert!((one.at(Channel::Concern, 100.0) - 5.0).abs() < 1e-9);
    let panic = level(&[shock, shock, shock, shock], &attention(), 16_384.0);
    assert_eq!(panic.at(Channel::Interest, 100.0), 0.0);
}

#[test]
fn nothing_moves_before_the_signal_or_the_scenario() {
    let shock = Shock { at: 5000.0, interest: 3.0, ..Shock::default() };
    let level = level(&[shock], &sample::attention(), 16_384.0);
    assert_eq!((level.at(Channel::Interest, -10.0), level.at(Channel::Interest, 4999.0)), (1.0, 1.0));
}

#[test]
fn the_market_and_confounders_multiply_all_interest() {
    let shocks = [
        Shock { at: 100.0, interest: 3.0, ..Shock::default() },
        Shock { at: 100.0, market: -0.25, ..Shock::default() },
    ];
    let campaign = Confounder {
        name: "campaign".into(),
        what: ConfounderKind::ExchangeCampaign,
        at: Duration::ZERO,
        duration: Duration::from_secs(200),
        factor: 1.5,
        regions: Vec::new(),
    };
    let level = Level::new(&shocks, &[&campaign], &attention(), 16_384.0, None);
    assert!((level.at(Channel::Interest, 100.0) - 4.0 * 0.75 * 1.5).abs() < 1e-9);
    assert_eq!(level.at(Channel::Concern, 100.0), 1.0);
    assert!((level.at(Channel::Interest, 50.0) - 1.5).abs() < 1e-9);
    assert!(level.at(Channel::Interest, 10.0) < 1.5, "a confounder comes gradually");
}

fn drawn(attention: &Attention, base: f64, seed: u64) -> Level {
    let draw = Some(Draw { seed, region: 0, base });
    Level::new(&[], &[], attention, 16_384.0, draw)
}

#[test]
fn counts_given_a_path_have_the_fano_factor_of_the_cascade() {
    // Poisson given the path: Fano = 1 + (variance of the window's expectation) / its mean.
    let (n, delay, base, window) = (0.6, 40.0, 5.0, 1024);
    let attention = Attention { branching: n, delay: Duration::from_secs(40), ..attention() };
    let mut sums = Vec::new();
    for seed in 0..40 {
        let level = drawn(&attention, base, seed);
        // The first window is still near the mean from which a path begins.
        sums.extend(
            level.interest[window..16_384].chunks_exact(window).map(|it| it.iter().sum::<f64>() * base),
        );
    }
    let mean = sums.iter().sum::<f64>() / sums.len() as f64;
    let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / sums.len() as f64;
    assert!((mean / (window as f64 * base) - 1.0).abs() < 0.01, "mean {mean}");
    let (k, a) = (1.0 / (1.0 - n), (1.0 - n) / delay);
    let theory = k * k + (1.0 - k * k) * (1.0 - (-a * window as f64).exp()) / (a * window as f64);
    let error = (2.0 / sums.len() as f64).sqrt();
    let ratio = (1.0 + variance / mean) / theory;
    assert!((ratio - 1.0).abs() < 4.0 * error, "Fano {} against {theory}", 1.0 + variance / mean);
}

#[test]
fn a_path_belongs_to_its_seed_and_a_large_audience_stays_near_the_mean() {
    let attention = sample::attention();
    assert_eq!(drawn(&attention, 5.0, 1), drawn(&attention, 5.0, 1));
    assert_ne!(drawn(&attention, 5.0, 1), drawn(&attention, 5.0, 2));
    let farthest = |base| {
        let level = drawn(&attention, base, 1);
        level.interest.iter().map(|level| (level - 1.0).abs()).fold(0.0, f64::max)
    };
    assert!(farthest(5.0) > 0.01 && farthest(5e6) < 1e-3, "{} {}", farthest(5.0), farthest(5e6));
    assert_eq!(
        drawn(&Attention { branching: 0.0, ..attention.clone() }, 5.0, 1),
        level(&[], &attention, 16_384.0)
    );
}
