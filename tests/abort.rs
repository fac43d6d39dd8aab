//! `abort_on`: a run that is too bad ends early, says so, and never passes.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;

use squall::record::Recording;

use program::scenario::{NOBODY_STAYS, ScenarioText};
use program::{contents, path, run, stderr, stdout};

/// Twice what the layer serves, from the thirtieth second on.
fn flood() -> String {
    let flood = r#"
[[abuse]]
name = "calm"
what = "announce"
from = "0s"
until = "5m"
rate = "20/s"

[[abuse]]
name = "flood"
what = "announce"
from = "30s"
until = "5m"
rate = "180/s"
"#;
    let funnel = format!("retries = 0{NOBODY_STAYS}");
    ScenarioText { duration: "5m", funnel: &funnel, tables: flood, ..ScenarioText::default() }.text()
}

/// A tracker that serves 100/s and turns away what it has no room for.
fn model(abort_on: &str) -> String {
    format!(
        "squall = 1\nkind = \"model\"\nname = \"small\"\n\n[layer.tracker]\nservers = 1\nservice = \"10ms\"\nwaiting = 50\n\n\
         [envelope.tracker]\nbase = \"300/s\"\nburst = \"300/s\"\nburst_for = \"10m\"\nreserve = \"300/s\"\n\
         slo = {{ limit = \"2s\", errors = \"1%\" }}\n{abort_on}\n"
    )
}

#[test]
fn a_run_that_is_too_bad_ends_early_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("flood.toml");
    fs::write(&scenario, flood()).unwrap();
    let simulate = |name: &str, abort_on: &str| {
        let (file, out) = (dir.path().join(format!("{name}.toml")), dir.path().join(name));
        fs::write(&file, model(abort_on)).unwrap();
        let [scenario, file, out_text] = [&scenario, &file, &out].map(|it| path(it));
        let output = run(&["simulate", &scenario, "--model", &file, "--quiet", "--out", &out_text]);
        assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
        (stdout(&output), Recording::read(&out).unwrap(), out)
    };
    let (text, whole, _) = simulate("whole", "");
    assert!(whole.aborted.is_none() && !text.contains("stopped at"), "{text}");
    assert!(whole.rows.len() >= 300);

    // Half of 200/s fail from 30 s on: over 10 s that is more than 20 % after four of them or so.
    let errors = "abort_on = { errors = \"20%\", for = \"10s\" }";
    let (text, ended, out) = simulate("errors", errors);
    let aborted = ended.aborted.clone().unwrap();
    assert!((32..38).contains(&aborted.at_seconds), "{aborted:?}");
    assert!(ended.finished && ended.rows.len() < 60, "{} s were recorded", ended.rows.len());
    let said = format!("✗ stopped at {} s: tracker failed ", aborted.at_seconds);
    assert!(text.contains(&said) && text.contains("over 10 s (abort_on 20 %)"), "{text}");
    assert!(!text.contains("interrupted"), "{text}");
    // The report of the recording says the same.
    let report = run(&["report", &path(&out)]);
    assert_eq!((report.status.code(), stdout(&report)), (Some(3), text));
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["verdict"], &summary["aborted"]["layer"]), (&"fail".into(), &"tracker".into()));
    assert!(contents(&out) == contents(&simulate("again", errors).2), "another time another end");
}
