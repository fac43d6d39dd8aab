//! `squall search`: on models whose capacity is known, and on the embedded testbed.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;
use std::time::Duration;

use program::scenario::{NOBODY_STAYS, ScenarioText};
use program::{Running, contents, path, run, squall, stderr, stdout, wait_for};
use serde_json::Value;

/// A model of one layer, the metadata service.
fn model(servers: u32, service: &str, waiting: u32) -> String {
    format!(
        "squall = 1\nkind = \"model\"\nname = \"one-layer\"\nround_trip = \"0s\"\n\n\
         [layer.metadata]\nservers = {servers}\nservice = \"{service}\"\nwaiting = {waiting}\n"
    )
}

/// Visitors who ask again when they have waited for so long.
fn visitors(patience: &str, retries: u32, size: &str) -> String {
    let keys = format!("patience = \"{patience}\"\nretries = {retries}\nretry_after = \"100ms\"");
    ScenarioText { funnel: &(keys + NOBODY_STAYS), items: 8, size, ..ScenarioText::default() }.text()
}

/// Searches with these arguments; the exit code and `search.json` as it was printed.
fn search(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(&[&["search", "--output-format", "json"], arguments].concat());
    let found = serde_json::from_str(&stdout(&output));
    (output.status.code(), found.unwrap_or_else(|_| panic!("{}{}", stdout(&output), stderr(&output))))
}

/// A directory with a file of that text in it.
fn written(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.toml");
    fs::write(&file, text).unwrap();
    (dir, path(&file))
}

/// The capacity of M/M/c is c / S.
#[test]
fn the_capacity_of_a_queue_is_found() {
    let cases =
        [(1, "1ms", 1000.0), (2, "5ms", 400.0), (4, "10ms", 400.0), (16, "20ms", 800.0), (1, "4ms", 250.0)];
    for ((servers, service, capacity), seed) in cases.into_iter().zip(1..) {
        let (dir, model) = written(&model(servers, service, 1_000_000));
        let out = path(&dir.path().join("out"));
        let seed = seed.to_string();
        let how = ["--limit", "1s", "--trial", "20s", "--precision", "2%", "--no-recovery", "--seed", &seed];
        let (code, found) = search(&[&["--model", &model, "--out", &out, "--quiet"], &how[..]].concat());
        assert_eq!(code, Some(0), "{found:#}");
        let layer = &found["layers"][0];
        let seen = layer["found"]["capacity_per_second"].as_f64().unwrap();
        println!(
            "c {servers}, S {service}: {seen:.0}/s of {capacity}/s, {} trials",
            layer["trials"].as_array().unwrap().len()
        );
        assert!((seen / capacity - 1.0).abs() < 0.05, "c {servers}, S {service}: {seen}");
        let stopped = layer["found"]["stopped_by"].as_str().unwrap();
        assert!(["latency", "goodput"].contains(&stopped), "{stopped}");
        assert_eq!(layer["found"]["confirmed"], true);
    }
}

#[test]
fn every_layer_of_the_built_in_model_has_its_capacity() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(&dir.path().join("out"));
    let (code, found) = search(&["--simulate", "--no-recovery", "--quiet", "--out", &out]);
    assert_eq!(code, Some(0), "{found:#}");
    // Servers over service, as profiles/model.toml states them.
    let stated =
        [("index", 2000.0), ("metadata", 1000.0), ("tracker", 5000.0), ("dht", 400.0), ("seedbox", 4000.0)];
    let layers = found["layers"].as_array().unwrap();
    assert_eq!(layers.len(), stated.len());
    for (layer, (name, capacity)) in layers.iter().zip(stated) {
        assert_eq!(layer["layer"], name);
        let seen = layer["found"]["capacity_per_second"].as_f64().unwrap();
        println!("{name}: {seen:.0}/s of {capacity}/s, {} trials", layer["trials"].as_array().unwrap().len());
        assert!(seen > 0.88 * capacity && seen < 1.06 * capacity, "{name}: {seen}");
        // Every trial is a recording that can be judged on its own.
        let last = layer["trials"].as_array().unwrap().last().unwrap()["directory"].as_str().unwrap();
        let report = run(&["report", &path(&dir.path().join("out").join(last))]);
        assert!(matches!(report.status.code(), Some(0 | 3)), "{last}: {}", stderr(&report));
    }
}

#[test]
fn the_same_seed_finds_the_same_in_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let found = |name: &str, seed: &str| {
        let out = dir.path().join(name);
        let how = ["--simulate", "--layer", "metadata", "--trial", "2s", "--quiet", "--seed", seed];
        let (_, found) = search(&[&how[..], &["--out", &path(&out)]].concat());
        (found, contents(&out))
    };
    let (first, second) = (found("first", "7"), found("second", "7"));
    assert_eq!(first.0, second.0);
    assert!(first.1 == second.1, "the recordings differ");
    assert_ne!(first.0["layers"][0]["trials"], found("third", "8").0["layers"][0]["trials"]);
    let trials = first.0["layers"][0]["trials"].as_array().unwrap();
    let named =
        trials.iter().map(|tried| dir.path().join("first").join(tried["directory"].as_str().unwrap()));
    assert!(named.into_iter().all(|trial| trial.join("timeline.jsonl").exists()));
}

/// Work that nobody waits for any more is done all the same, and who waited asks again: at three quarters of its capacity a queue without
/// a bound stays down, and comes back once four tries a visitor are less than it serves. A queue with a bound does not get there.
#[test]
fn a_metastable_collapse_shows_and_a_bounded_queue_has_none() {
    let recovery = |waiting: u32| {
        let (dir, model) = written(&model(1, "2ms", waiting));
        let scenario = dir.path().join("visitors.toml");
        fs::write(&scenario, visitors("500ms", 3, "1 MiB")).unwrap();
        let (scenario, out) = (path(&scenario), path(&dir.path().join("out")));
        let (code, found) =
            search(&["--model", &model, "--scenario", &scenario, "--trial", "5s", "--quiet", "--out", &out]);
        assert_eq!(code, Some(0), "{found:#}");
        let found = found["layers"][0]["found"].clone();
        let capacity = found["capacity_per_second"].as_f64().unwrap();
        assert!((capacity / 500.0 - 1.0).abs() < 0.12, "{capacity}");
        (capacity, found["recovery"].clone())
    };
    let (capacity, unbounded) = recovery(1_000_000);
    println!("capacity {capacity:.0}/s, recovery {unbounded}");
    assert_eq!(unbounded["is"], "at", "{unbounded}");
    let at = unbounded["per_second"].as_f64().unwrap();
    // Four tries of each visitor are what is served: a quarter of the capacity.
    assert!(at <= 0.26 * capacity, "{at}");
    assert_eq!(recovery(50).1["is"], "no-hysteresis");
}

#[test]
fn what_ended_a_search_is_its_exit_code() {
    let (dir, model) = written(&model(1, "1ms", 100));
    let out = |name: &str| path(&dir.path().join(name));
    let how = ["--model", &model, "--quiet", "--no-recovery", "--trial", "2s"];
    let (code, found) = search(&[&how[..], &["--max-rate", "150/s", "--out", &out("ceiling")]].concat());
    let found = &found["layers"][0]["found"];
    assert_eq!((code, &found["stopped_by"], &found["at_least"]), (Some(0), &"ceiling".into(), &true.into()));
    assert_eq!(found["capacity_per_second"], 150.0);

    let (code, found) = search(&[&how[..], &["--budget", "8s", "--out", &out("budget")]].concat());
    assert_eq!((code, &found["layers"][0]["found"]["stopped_by"]), (Some(7), &"budget".into()));

    // Names are a layer too, and asked for by themselves.
    let names = written(&fs::read_to_string(&model).unwrap().replace("layer.metadata", "layer.dns"));
    let how_names = ["--model", &names.1, "--quiet", "--no-recovery", "--trial", "2s", "--max-rate", "150/s"];
    let (code, found) = search(&[&how_names[..], &["--out", &out("names")]].concat());
    let layer = &found["layers"][0];
    assert_eq!(
        (code, &layer["layer"], &layer["found"]["stopped_by"]),
        (Some(0), &"dns".into(), &"ceiling".into())
    );

    // What the scenario has in store for its own day is no part of a trial.
    let fault =
        "\n[[fault]]\nname = \"slow\"\nlayer = \"metadata\"\nat = \"0s\"\nfor = \"1h\"\nrate = \"10/s\"\n";
    let faulty = written(&(visitors("10s", 2, "64 KiB") + fault));
    let how_faulty = [&how[..], &["--scenario", &faulty.1, "--max-rate", "150/s"]].concat();
    let (code, found) = search(&[&how_faulty[..], &["--out", &out("faulty")]].concat());
    assert_eq!((code, &found["layers"][0]["found"]["stopped_by"]), (Some(0), &"ceiling".into()));

    // Nobody is served as fast as this.
    let (code, found) = search(&[&how[..], &["--limit", "1us", "--out", &out("unreachable")]].concat());
    let found = &found["layers"][0]["found"];
    assert_eq!(
        (code, &found["stopped_by"], &found["capacity_per_second"]),
        (Some(7), &"unreachable".into(), &Value::Null)
    );

    let text = run(&["search", "--model", &model, "--quiet", "--max-rate", "150/s", "--out", &out("text")]);
    let text = stdout(&text);
    assert!(text.contains("✓  metadata") && text.contains("≥ 150/s  ceiling"), "{text}");
    let again = run(&["search", "--model", &model, "--quiet", "--out", &out("text")]);
    assert_eq!(again.status.code(), Some(2), "a search is never written over");
    for wrong in [
        &["--layer", "trackers"][..],
        // The model has none, and would carry anything.
        &["--layer", "dht"],
        &["--max-rate", "0/s"],
        &["--quantile", "99"],
        &["--target", "x.toml"],
    ] {
        let output = run(&[&["search", "--model", &model], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn an_interrupted_search_prints_what_is_known() {
    let (dir, model) = written(&model(1, "1ms", 100));
    let out = dir.path().join("out");
    let how = ["search", "--model", &model, "--trial", "10m", "--quiet", "--out", &path(&out)];
    let running = Running::start(squall().args(how));
    let trials = || fs::read_dir(out.join("trials")).map_or(0, |entries| entries.count());
    wait_for("third trial", Duration::from_secs(120), || (trials() >= 3).then_some(()));
    rustix::process::kill_process(running.pid(), rustix::process::Signal::INT).unwrap();
    let (code, text, err) = running.finish(Duration::from_secs(60));
    assert_eq!(code, Some(130), "{text}{err}");
    assert!(text.contains("?  metadata") && text.contains("≥ ") && text.contains("interrupted"), "{text}");
}

/// Little is asked: whether every layer is reached by its trials, on the fleet and with the protocols that `run` has.
#[test]
fn the_layers_of_the_embedded_testbed_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let (scenario, out) = (dir.path().join("visitors.toml"), path(&dir.path().join("out")));
    fs::write(&scenario, visitors("10s", 2, "64 KiB")).unwrap();
    let scenario = path(&scenario);
    let how = [
        "--scenario",
        &scenario,
        "--trial",
        "1s",
        "--max-rate",
        "80/s",
        "--limit",
        "2s",
        "--no-recovery",
        "--workers",
        "1",
    ];
    let (code, found) = search(&[&how[..], &["--quiet", "--out", &out]].concat());
    assert_eq!(code, Some(0), "{found:#}");
    let layers = found["layers"].as_array().unwrap();
    let names: Vec<_> = layers.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert_eq!(names, ["index", "metadata", "tracker", "dht", "seedbox"]);
    for layer in layers {
        assert_eq!(layer["found"]["stopped_by"], "ceiling", "{layer:#}");
        // How many pieces a visitor asks for is measured, and so is the rate.
        let capacity = layer["found"]["capacity_per_second"].as_f64().unwrap();
        assert!((60.0..100.0).contains(&capacity), "{layer:#}");
    }
}
