use std::time::Duration;

use super::*;
use crate::demand::Sinusoid;
use crate::scenario::{Incident, Lag, Scenario, sample};

const DAY: f64 = 86_400.0;

/// Sessions of exactly four hours, re-announcing every half hour.
fn scenario() -> Scenario {
    let mut scenario = sample::sample();
    let session = Duration::from_secs(4 * 3600);
    scenario.funnel.session = Lag { median: session, p90: session };
    scenario
}

fn swarm(scenario: &Scenario, starts: &Series) -> Swarm {
    Swarm::new(scenario, starts, &Delay::new(scenario.funnel.session), |_| 0.5)
}

/// 600 starts within ten minutes of hour 6, and nothing else.
fn flash() -> Series {
    Series::tabulate(Sinusoid::default(), DAY, 8640, |t| {
        if (21_600.0..22_200.0).contains(&t) { 1.0 } else { 0.0 }
    })
}

fn steady() -> Series {
    Series::tabulate(Sinusoid::default(), DAY, 8640, |_| 1.0)
}

fn incident(share: f64) -> Incident {
    Incident { name: "it".into(), at: Duration::from_secs(36_000), share, over: Duration::from_secs(10) }
}

#[test]
fn a_flash_comes_back_every_interval_in_lockstep_and_jitter_smears_it() {
    let mut scenario = scenario();
    let lockstep = swarm(&scenario, &flash());
    for round in 1..=7 {
        let at = 21_600.0 + 1800.0 * f64::from(round);
        let (echo, gap) =
            (lockstep.reannounces(at - 60.0, at + 660.0), lockstep.reannounces(at + 700.0, at + 1100.0));
        // The flash has edges, the grid has cells of 42 s.
        assert!((echo / 600.0 - 1.0).abs() < 0.08 && gap < 6.0, "round {round}: {echo}, then {gap}");
    }
    // The eighth round falls on the end of the session.
    assert!(lockstep.reannounces(21_600.0 + 8.5 * 1800.0, DAY) < 6.0);
    scenario.funnel.announce_jitter = 0.5;
    let smeared = swarm(&scenario, &flash());
    let at = 21_600.0 + 4.0 * 1800.0;
    assert!(smeared.reannounces(at - 60.0, at + 660.0) < 500.0);
    let (one, other) = (lockstep.reannounces(0.0, DAY), smeared.reannounces(0.0, DAY));
    assert!((one / other - 1.0).abs() < 0.1, "{one} against {other}");
}

#[test]
fn a_restart_announces_at_once_and_echoes_after_the_interval() {
    let mut scenario = scenario();
    scenario.restarts = vec![incident(0.7)];
    let swarm = swarm(&scenario, &steady());
    let population = swarm.population.at(35_990.0);
    assert!((population / 14_400.0 - 1.0).abs() < 0.01, "{population}");
    let herd = swarm.restarts(36_000.0, 36_010.0);
    assert!((herd / (0.7 * population) - 1.0).abs() < 0.01, "{herd}");
    assert_eq!(swarm.restarts(0.0, DAY), herd);
    // An eighth of the herd has left after an eighth of the session.
    let echo = |round: f64| swarm.reannounces(36_000.0 + round * 1800.0, 36_010.0 + round * 1800.0);
    assert!((echo(1.0) / (herd * 7.0 / 8.0) - 1.0).abs() < 0.02, "{} of {herd}", echo(1.0));
    assert!((echo(4.0) / (herd * 0.5) - 1.0).abs() < 0.03, "{} of {herd}", echo(4.0));
    // Between the echoes only those announce who did not restart, and those who came since.
    let quiet = swarm.reannounces(36_500.0, 37_500.0);
    assert!((quiet / 1000.0 / (0.3 * 7.0) - 1.0).abs() < 0.1, "{quiet}");
    let usual = swarm.reannounces(30_000.0, 31_000.0);
    assert!((usual / 7000.0 - 1.0).abs() < 0.1, "{usual}");
}

#[test]
fn an_exodus_takes_its_share_of_the_seeds() {
    let mut scenario = scenario();
    scenario.exoduses = vec![incident(0.6)];
    let swarm = swarm(&scenario, &steady());
    let (before, after) = (swarm.population.at(35_900.0), swarm.population.at(36_100.0));
    assert!((after / before - 0.7).abs() < 0.01, "{after} of {before}");
    let leaves = swarm.leaves(0.0, DAY);
    assert!((leaves / (0.3 * before) - 1.0).abs() < 0.01, "{leaves}");
    assert!((swarm.population.at(36_000.0 + 14_500.0) / before - 1.0).abs() < 0.01, "newcomers fill it up");
}
