//! Rehearsals in virtual time.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;

use squall::journey::Kind;
use squall::record::Recording;

use program::scenario::{NOBODY_STAYS, ScenarioText};
use program::{contents, path, run, stderr, stdout};

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let simulate = |name: &str, seed: &str| {
        let out = dir.path().join(name);
        let output =
            run(&["simulate", "scenarios/listing-day.toml", "--quiet", "--seed", seed, "--out", &path(&out)]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        out
    };
    let first = contents(&simulate("first", "7"));
    let second = contents(&simulate("second", "7"));
    let other = contents(&simulate("other", "8"));
    assert_eq!(
        first.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        second.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for ((name, first), (_, second)) in first.iter().zip(&second) {
        assert!(first == second, "{} differs", name.display());
    }
    let timeline = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().find(|(name, _)| name.as_os_str() == "timeline.jsonl").unwrap().1.clone()
    };
    assert!(timeline(&first) != timeline(&other), "another seed is another run");
}

/// Erlang C through the whole chain (plan, worker loop, model, recorder): `domain.md` section 3, (c, rho) → mean wait over service.
#[test]
fn a_layer_behaves_as_erlang_says() {
    const SERVICE: f64 = 0.08;
    for (load, wait) in [(0.8, 0.286), (0.95, 2.110)] {
        let dir = tempfile::tempdir().unwrap();
        let (scenario, model, out) =
            (dir.path().join("flat.toml"), dir.path().join("model.toml"), dir.path().join("out"));
        // Eight servers of 80 ms: 100/s.
        fs::write(&scenario, flat_scenario(load * 100.0)).unwrap();
        fs::write(&model, MODEL).unwrap();
        let output =
            run(&["simulate", &path(&scenario), "--model", &path(&model), "--quiet", "--out", &path(&out)]);
        assert!(out.join("timeline.jsonl").exists(), "{}", stderr(&output));
        let recording = Recording::read(&out).unwrap();
        let mut service = squall::record::histogram();
        for row in recording.rows.iter().filter_map(|row| row.kinds.get(&Kind::Side)) {
            assert_eq!(row.counts.failed.total(), 0);
            row.latencies.service.add_to(&mut service);
        }
        let mean = service.mean() / 1e6;
        let expected = SERVICE * (1.0 + wait);
        // Waits are correlated over ~1/(1-rho)^2 services: an hour at 0.95 is worth some 800 independent waits.
        let tolerance = if load > 0.9 { 0.08 } else { 0.02 };
        assert!(
            (mean / expected - 1.0).abs() < tolerance,
            "rho {load}: mean {mean:.4} s, Erlang {expected:.4} s"
        );
    }
}

/// A scenario whose only traffic worth the name is a constant Poisson stream to the status page.
fn flat_scenario(rate: f64) -> String {
    let funnel = format!("patience = \"10m\"{NOBODY_STAYS}");
    let side = format!(
        "[[side]]\nname = \"status\"\npath = \"/status\"\nbase = \"{rate}/s\"\nfollows = \"concern\""
    );
    ScenarioText { funnel: &funnel, tables: &side, ..ScenarioText::default() }.text()
}

const MODEL: &str = r#"squall = 1
kind = "model"
name = "eight-servers"
round_trip = "0s"
[layer.index]
servers = 8
service = "80ms"
waiting = 1000000
"#;
