//! `squall doctor` measures a machine, and `squall run` warns of a plan that the machine cannot send.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use squall::commands::{SchemaOf, schema};

use program::{squall, stderr, stdout};

const DAY: &str = "scenarios/listing-day.toml";

/// Looks at this machine for a second, and saves what it found.
fn doctor(save: &Path) -> (Output, Value) {
    let output = squall()
        .args(["doctor", "--seconds", "1", "--output-format", "json", "--save"])
        .arg(save)
        .output()
        .unwrap();
    let found = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output, found)
}

#[test]
fn what_the_doctor_finds_keeps_to_its_schema_and_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state/doctor.json");
    let (output, found) = doctor(&file);
    let validator =
        jsonschema::draft202012::new(&serde_json::from_str(&schema(SchemaOf::Doctor)).unwrap()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&found).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for place in ["/rates/udp/per_second", "/limits/descriptors", "/machine/hostname", "/findings/0/grade"] {
        let mut wrong = found.clone();
        *wrong.pointer_mut(place).unwrap() = json!({ "nothing": "of the kind" });
        assert!(!validator.is_valid(&wrong), "{place} may be anything");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), stdout(&output));

    // What it measured is possible, and its exit code says what it found; this machine may be a busy one.
    assert!(found["rates"]["tcp_connections"]["per_second"].as_f64().unwrap() > 10.0, "{found:#}");
    let bad = found["findings"].as_array().unwrap().iter().any(|finding| finding["grade"] == "bad");
    assert_eq!(output.status.code(), Some(if bad { 5 } else { 0 }), "{found:#}");
}

#[test]
fn the_doctor_speaks_to_people_and_saves_where_states_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        squall().args(["doctor", "--seconds", "1"]).env("XDG_STATE_HOME", dir.path()).output().unwrap();
    let text = stdout(&output);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{text}{}", stderr(&output));
    for line in
        ["timer lag", "clock", "UDP", "TCP requests", "TCP connections", "descriptors", "cores", "memory"]
    {
        assert!(
            text.lines().any(|it| it.get(3..).is_some_and(|it| it.trim_start().starts_with(line))),
            "{line}\n{text}"
        );
    }
    assert!(dir.path().join("squall/doctor.json").is_file());
}

/// Ten minutes around the announcement in as few seconds, and what came of it.
#[cfg(feature = "testbed")]
fn rehearsal(out: &Path, command: &mut Command) -> (Output, Value) {
    let output = command.arg("--out").arg(out).output().unwrap();
    let manifest =
        fs::read_to_string(out.join("manifest.json")).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output, serde_json::from_str(&manifest).unwrap())
}

#[cfg(feature = "testbed")]
const SHORT: [&str; 7] = ["run", DAY, "--quiet", "--window", "36h..36h10m", "--speed", "200"];

#[cfg(feature = "testbed")]
#[test]
fn a_run_warns_of_descriptors_before_it_lacks_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_squall")]);
    command.args(SHORT).args(["--scale", "20"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (output, manifest) = rehearsal(&dir.path().join("out"), &mut command);
    let message = stderr(&output);
    assert!(
        message.contains("warning: this machine may be too small for the plan: descriptors: "),
        "{message}"
    );
    assert!(message.contains("the limit is 300"), "{message}");
    // Only 64 operations may be under way with so few: the run is void, and says what of.
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(stdout(&output).contains("foreseen: descriptors: up to"), "{}", stdout(&output));
    let foreseen = &manifest["host"]["foreseen"];
    assert!(foreseen.as_array().unwrap().iter().any(|it| it["of"] == "descriptors"), "{foreseen}");
    assert_eq!(manifest["host"]["limits"]["descriptors"]["soft"], 300);
}

#[cfg(feature = "testbed")]
#[test]
fn a_run_holds_its_plan_against_what_the_doctor_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("squall/doctor.json");
    let (_, mut found) = doctor(&file);
    // Where it is saved if nobody says otherwise.
    let mut usual = squall();
    usual.args(SHORT).args(["--scale", "0.2"]).env("XDG_STATE_HOME", dir.path());
    let (output, manifest) = rehearsal(&dir.path().join("usual"), &mut usual);
    assert!(!stderr(&output).contains("busiest second"), "{}", stderr(&output));
    assert_eq!(manifest["host"]["rates"], found["rates"]);

    found["rates"]["tcp_connections"]["per_second"] = json!(1.0);
    fs::write(&file, found.to_string()).unwrap();
    let mut named = squall();
    named.args(SHORT).args(["--scale", "0.2", "--doctor"]).arg(&file);
    let (output, manifest) = rehearsal(&dir.path().join("named"), &mut named);
    let message = stderr(&output);
    assert!(
        message.contains("warning: this machine is too small for the plan: the busiest second"),
        "{message}"
    );
    assert_eq!(manifest["host"]["foreseen"][0]["of"], "workers", "{}", manifest["host"]["foreseen"]);

    // Of another machine: said before anything is started.
    found["machine"]["hostname"] = json!("elsewhere");
    fs::write(&file, found.to_string()).unwrap();
    let output = squall().args(SHORT).arg("--doctor").arg(&file).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).starts_with("error: ") && stderr(&output).contains("another machine"));
}
