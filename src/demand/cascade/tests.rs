//! What verifies a cascade sampler: mean rate, Fano factor, cluster sizes, time rescaling, branching ratio, response exponents, and a
//! control that must fail.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::demand::response;

fn random(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Events tick by tick, after a settling time.
fn counts(mu: f64, n: f64, beta: f64, step: f64, ticks: usize, seed: u64) -> Vec<f64> {
    let mut cascade = Cascade::new(&Memory::exponential(1.0 / beta), n, step).settled(mu * step / (1.0 - n));
    let mut random = random(seed);
    (0..ticks).map(|_| cascade.draw(mu * step, &mut random).events).collect()
}

/// Variance over mean of the counts in windows of so many ticks.
fn fano(counts: &[f64], ticks: usize) -> f64 {
    let windows: Vec<f64> = counts.chunks_exact(ticks).map(|window| window.iter().sum()).collect();
    let mean = windows.iter().sum::<f64>() / windows.len() as f64;
    let squares: f64 = windows.iter().map(|count| (count - mean).powi(2)).sum();
    squares / (windows.len() - 1) as f64 / mean
}

fn theory(n: f64, beta: f64, window: f64) -> f64 {
    let (k, a) = (1.0 / (1.0 - n), beta * (1.0 - n));
    k * k + (1.0 - k * k) * (1.0 - (-a * window).exp()) / (a * window)
}

#[test]
fn mean_rate_and_fano_factor_are_those_of_a_hawkes_process_at_any_tick() {
    let (mu, n, beta, length) = (5.0, 0.8, 0.5, 60_000.0);
    for (step, seed) in [(0.5, 1), (2.0, 2), (10.0, 3)] {
        let counts = counts(mu, n, beta, step, (length / step) as usize, seed);
        let rate = counts.iter().sum::<f64>() / length;
        // Standard error of the rate: √(rate · Fano / length) = 0.10.
        assert!((rate - 25.0).abs() < 0.4, "rate {rate} at ticks of {step} s");
        for window in [10.0, 40.0, 200.0] {
            let found = fano(&counts, (window / step) as usize);
            let error = (2.0 * window / length).sqrt();
            let ratio = found / theory(n, beta, window);
            assert!((ratio - 1.0).abs() < 4.0 * error + 0.02, "Fano({window} s) {found}, ticks of {step} s");
        }
    }
    assert!((theory(n, beta, 10.0) - 9.83).abs() < 0.01 && (theory(n, beta, 200.0) - 23.8).abs() < 0.01);
}

#[test]
fn the_branching_ratio_comes_back_from_the_fano_factor() {
    for (n, seed) in [(0.5, 4), (0.8, 5)] {
        let fano = fano(&counts(5.0, n, 0.5, 2.0, 100_000, seed), 200);
        let estimate = 1.0 - 1.0 / fano.sqrt();
        assert!((estimate - n).abs() < 0.05, "{estimate}, not {n}");
    }
}

#[test]
fn clusters_have_borels_sizes() {
    // One event, then only its descendants.
    let (n, clusters) = (0.6, 20_000);
    let cascade = Cascade::new(&Memory::exponential(2.0), n, 1.0);
    let mut random = random(6);
    let mut sizes = Vec::new();
    for _ in 0..clusters {
        let mut cascade = cascade.clone();
        cascade.remember(1.0);
        // Children in the tick of the founder itself, as `draw` has them.
        let mut size = 1.0;
        let mut generation = poisson(n * cascade.same, &mut random);
        while generation > 0.0 {
            size += generation;
            cascade.remember(generation);
            generation = poisson(n * cascade.same * generation, &mut random);
        }
        size += (0..120).map(|_| cascade.draw(0.0, &mut random).events).sum::<f64>();
        sizes.push(size);
    }
    let mean = sizes.iter().sum::<f64>() / f64::from(clusters);
    let alone = sizes.iter().filter(|size| **size == 1.0).count() as f64 / f64::from(clusters);
    // Variance of a Borel size: n / (1 − n)³.
    let error = (n / (1.0 - n).powi(3) / f64::from(clusters)).sqrt();
    assert!((mean - 1.0 / (1.0 - n)).abs() < 4.0 * error, "mean size {mean}");
    let p = (-n).exp();
    assert!((alone - p).abs() < 4.0 * (p * (1.0 - p) / f64::from(clusters)).sqrt(), "P(1) = {alone}");
}

/// Exact times: uniform within their ticks.
fn times(counts: &[f64], step: f64, seed: u64) -> Vec<f64> {
    let mut random = random(seed);
    let mut times = Vec::new();
    for (tick, count) in counts.iter().enumerate() {
        times.extend((0..*count as u32).map(|_| (tick as f64 + random.random::<f64>()) * step));
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Kolmogorov-Smirnov distance, times √n, of the rescaled gaps of these times from the standard exponential distribution, were they a
/// Hawkes process with these parameters.
fn rescaled_distance(times: &[f64], mu: f64, n: f64, beta: f64) -> f64 {
    // Excitation summed over the past, β-normalised: in balance at the beginning.
    let mut memory = mu / (1.0 - n) / beta;
    let mut last = 0.0;
    let mut gaps: Vec<f64> = times
        .iter()
        .map(|t| {
            let gap = t - last;
            let gone = 1.0 - (-beta * gap).exp();
            let integral = mu * gap + n * memory * gone;
            memory = memory * (1.0 - gone) + 1.0;
            last = *t;
            integral
        })
        .collect();
    gaps.sort_by(f64::total_cmp);
    let count = gaps.len() as f64;
    let distance = gaps.iter().enumerate().map(|(i, gap)| {
        let (cdf, i) = (1.0 - (-gap).exp(), i as f64);
        (cdf - i / count).abs().max((cdf - (i + 1.0) / count).abs())
    });
    distance.fold(0.0, f64::max) * count.sqrt()
}

#[test]
fn rescaled_times_are_a_unit_poisson_process_and_poisson_times_are_not() {
    let (mu, n, beta, step) = (0.5, 0.5, 0.2, 0.05);
    let hawkes = times(&counts(mu, n, beta, step, 100_000, 7), step, 8);
    assert!(hawkes.len() > 4000);
    // 0.1 % level.
    let found = rescaled_distance(&hawkes, mu, n, beta);
    assert!(found < 1.95, "KS distance {found}");
    // The same rate without excitation is no Hawkes process with n = 0.5.
    let poisson = times(&counts(mu / (1.0 - n), 0.0, beta, step, 400_000, 9), step, 10);
    let found = rescaled_distance(&poisson, mu, n, beta);
    assert!(found > 1.95, "KS distance {found} of a Poisson process");
    let fano = fano(&counts(mu / (1.0 - n), 0.0, beta, step, 400_000, 9), 2000);
    assert!(1.0 - 1.0 / fano.sqrt() < 0.3, "a Poisson process looks like n = {}", 1.0 - 1.0 / fano.sqrt());
}

/// Intensity oracles: K = 0.9, events at 0 and 1, looked at from 3. The exponential one has μ = 0 and β = 1; the power law θ = 1, c = 2.
#[test]
fn intensities_are_the_published_ones() {
    let exponential = |t: f64| 0.9 * Memory::exponential(1.0).at(t);
    assert!((exponential(3.0) + exponential(2.0) - 0.166_610_1).abs() < 5e-7);
    // Of θ·c^θ·(t + c)^−(1+θ) the oracle's kernel leaves c^θ out.
    let (theta, c) = (1.0, 2.0);
    let intensity = |density: &dyn Fn(f64) -> f64| 0.9 * (density(3.0) + density(2.0)) / c;
    let exact = intensity(&|t| theta * c * (t + c).powi(-2));
    assert!((exact - 0.092_25).abs() < 1e-9, "{exact}");
    // Memory that lasts a thousand times as long as what is looked at, and the step of 20 terms between 1 s and 7 days.
    let memory = Memory::power_law(theta, c, 1e4, 20);
    let sum = intensity(&|t| memory.at(t));
    assert!((sum - exact).abs() < 1e-4, "{sum}");
}

/// Log-log slopes of the response to a shock with the kernel's own shape (θ = 0.4, c = 1), away from the crossover.
#[test]
fn responses_relax_with_the_exponents_of_the_renewal_equation() {
    let (step, cells) = (0.25, 60_000);
    let memory = Memory::power_law(0.4, 1.0, 1e6, 24);
    let shock: Vec<f64> = (0..cells).map(|i| memory.at((f64::from(i) + 0.5) * step)).collect();
    let slope = |response: &[f64], early: f64, late: f64| {
        let at = |t: f64| response[(t / step) as usize];
        -(at(late) / at(early)).log10() / (late / early).log10()
    };
    for (n, early, late, published) in [
        (0.0, 1e3, 1e4, 1.40),
        (0.5, 10.0, 100.0, 1.15),
        (0.5, 1e3, 1e4, 1.38),
        (0.9, 10.0, 100.0, 0.75),
        (0.9, 1e3, 1e4, 1.18),
        (0.99, 10.0, 100.0, 0.59),
        (0.99, 1e3, 1e4, 0.72),
        (1.0, 10.0, 100.0, 0.57),
        (1.0, 1e3, 1e4, 0.60),
    ] {
        let response = response(&shock, Cascade::new(&memory, n, step));
        let found = slope(&response, early, late);
        assert!(
            (found - published).abs() < 0.04,
            "n = {n}, {early} to {late} s: {found}, published {published}"
        );
    }
}

#[test]
fn the_mean_is_the_mean_of_the_draws() {
    let memory = Memory::power_law(0.4, 60.0, 86_400.0, 16);
    let cascade = Cascade::new(&memory, 0.6, 30.0);
    let pulse = |tick: usize| if tick < 20 { 50.0 } else { 0.0 };
    let (mut mean, paths) = (cascade.clone(), 400);
    let mean: f64 = (0..500).map(|tick| mean.mean(pulse(tick))).sum();
    let mut random = random(11);
    let mut drawn = 0.0;
    for _ in 0..paths {
        let mut cascade = cascade.clone();
        drawn += (0..500).map(|tick| cascade.draw(pulse(tick), &mut random).events).sum::<f64>();
    }
    let error = (mean / 0.16 / f64::from(paths)).sqrt();
    assert!(
        (drawn / f64::from(paths) - mean).abs() < 4.0 * error,
        "{} against {mean}",
        drawn / f64::from(paths)
    );
}
