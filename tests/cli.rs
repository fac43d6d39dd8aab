//! The command line as an interface: exit codes, what goes to which stream, what is said about wrong input.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;

use program::{run, squall, stderr, stdout};

const DAY: &str = "scenarios/listing-day.toml";

/// Runs the program on wrong input: its exit code must be 2, its standard output empty, and its message must contain `parts`.
fn assert_refused(arguments: &[&str], parts: &[&str]) {
    let output = run(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: {part:?} is not in\n{message}");
    }
}

#[test]
fn wrong_input_is_exit_code_2_with_the_way_out() {
    assert_refused(&["run", "gone.toml"], &["gone.toml", "No such file"]);
    assert_refused(&["run", "scenarios"], &["scenarios", "Is a directory"]);
    assert_refused(&["run", DAY, "--sped", "10"], &["--sped", "--speed"]);
    assert_refused(&["run", DAY, "--speed", "0"], &["speed"]);
    assert_refused(&["run", DAY, "--speed", "nan"], &["speed"]);
    assert_refused(&["run", DAY, "--scale=-1"], &["scale"]);
    assert_refused(&["run", DAY, "--window", "10h"], &["window", "10h..22h"]);
    assert_refused(&["run", DAY, "--window", "22h..10h"], &["window"]);
    assert_refused(&["run", DAY, "--window", "10h..99h"], &["lasts 2d"]);
    assert_refused(&["run", DAY, "--target", "gone.toml"], &["gone.toml"]);
    assert_refused(&["run", DAY, "--target", DAY], &["kind", "target"]);
    assert_refused(
        &["run", "scenarios/btfs-gateway.toml", "--quiet", "--target", "tests/whole-target.toml"],
        &["need a CID of `item-01`", "`staging` has none", "add its `cid`", "`via`"],
    );
    assert_refused(&["run", "profiles/access.toml"], &["kind", "scenario"]);
    assert_refused(&["report", "src"], &["manifest.json"]);
    assert_refused(&["simulate", DAY, "--model", DAY], &["kind", "model"]);
    assert_refused(&["plan", DAY, "--plot", "curves.png"], &["curves.png", "curves.svg", "rsvg-convert"]);
    assert_refused(&["run", DAY, "--replay", "gone.log"], &["gone.log", "No such file"]);
    assert_refused(
        &["simulate", DAY, "--replay", "README.md"],
        &["README.md has no announce", "line 1: not a line"],
    );
    assert_refused(
        &["plan", DAY, "--replay", "gone.log", "--bands", "3"],
        &["--replay", "cannot be used with"],
    );
    assert_refused(&["run", DAY, "--replay", "gone.log", "--scale", "2"], &["--replay", "--scale"]);
    assert_refused(&[], &["Usage"]);
}

#[test]
fn a_run_directory_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    assert_refused(&["simulate", DAY, "--out", &dir.path().display().to_string()], &["empty", "--out"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_outside_target_is_refused_with_code_6() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outside.toml");
    let profile = fs::read_to_string("tests/whole-target.toml").unwrap();
    // Without the authorization, its private addresses are a stranger's.
    let (profile, _) = profile.split_once("[authorization]").unwrap();
    fs::write(&path, profile).unwrap();
    let output = run(&["run", DAY, "--quiet", "--target", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("refused: ") && stderr(&output).contains("authorization"));
    assert_eq!(stdout(&output), "");
}

#[test]
fn the_plan_is_the_same_every_time_and_the_run_names_it() {
    let plan = |seed: &str| -> serde_json::Value {
        let output = run(&["plan", DAY, "--seed", seed, "--output-format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    let (first, second, other) = (plan("3"), plan("3"), plan("4"));
    assert_eq!(first, second);
    assert_ne!(first["digest"], other["digest"]);

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let output = run(&["simulate", DAY, "--seed", "3", "--quiet", "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let manifest = fs::read_to_string(dir.path().join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["plan_digest"], first["digest"]);
}

#[test]
fn flags_are_environment_variables_too_and_flags_win() {
    let digest = |command: &mut std::process::Command| {
        let output = command.args(["plan", DAY, "--output-format", "json"]).output().unwrap();
        let plan: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        plan["seed"].as_u64().unwrap()
    };
    assert_eq!(digest(squall().env("SQUALL_SEED", "9")), 9);
    let output = run(&["plan", DAY, "--seed", "5", "--output-format", "csv"]);
    assert!(stdout(&output).starts_with("scenario_seconds,run_seconds,"), "{}", stdout(&output));
}

#[test]
fn help_documents_every_exit_code() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let readme = fs::read_to_string("README.md").unwrap();
    for (code, meaning) in squall::commands::Exit::table() {
        assert!(stdout(&output).contains(&format!("{code:>3}  {meaning}")), "{code}");
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "README: {code}");
    }
}
