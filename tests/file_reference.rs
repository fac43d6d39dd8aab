//! The tables of keys in `scenarios/README.md` and `profiles/README.md` say what the reading code says.
//!
//! `SQUALL_BLESS=1 cargo test --test file_reference` writes them anew.

#![expect(clippy::expect_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

use std::fs;

use squall::model::ModelTarget;
use squall::problem::{Description, Presence};
use squall::{profile, scenario};

fn table(keys: &[Description]) -> String {
    // The tables of all layers have the same keys.
    let shown = |key: &&Description| match key.path.split('.').collect::<Vec<_>>()[..] {
        ["envelope" | "layer" | "capacity", layer, ..] => layer == "index",
        _ => true,
    };
    let rows: Vec<String> = keys.iter().filter(shown).map(row).collect();
    format!("| key | value | left out | meaning |\n|---|---|---|---|\n{}\n", rows.join("\n"))
}

fn row(key: &Description) -> String {
    let path = ["envelope", "layer", "capacity"].into_iter().fold(key.path.clone(), |path, table| {
        path.replace(&format!("{table}.index"), &format!("{table}.LAYER"))
    });
    let left_out = match &key.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => String::new(),
        Presence::Default(default) => format!("`{default}`"),
    };
    format!("| `{path}` | {} | {left_out} | {} |", key.noun, key.doc)
}

/// Compares the part of a file between two comments with a table of keys.
fn compare(path: &str, kind: &str, keys: &[Description]) {
    let text = fs::read_to_string(path).expect("a file of the repository");
    let (begin, end) = (format!("<!-- keys of {kind} -->\n"), format!("<!-- end of {kind} -->"));
    let (before, rest) = text.split_once(&begin).expect("begin of the table");
    let (written, after) = rest.split_once(&end).expect("end of the table");
    let told = table(keys);
    if std::env::var_os("SQUALL_BLESS").is_some() {
        fs::write(path, format!("{before}{begin}{told}{end}{after}")).expect("writing the table");
    } else {
        assert_eq!(written, told, "{path}: SQUALL_BLESS=1 cargo test --test file_reference");
    }
}

#[test]
fn the_reference_of_scenarios_is_what_is_read() {
    compare("scenarios/README.md", "scenario", &scenario::keys());
}

#[test]
fn the_reference_of_profiles_is_what_is_read() {
    compare("profiles/README.md", "target", &profile::target_keys());
    compare("profiles/README.md", "clients", &profile::clients_keys());
    compare("profiles/README.md", "access", &profile::access_keys());
    compare("profiles/README.md", "model", &ModelTarget::keys());
    compare("profiles/README.md", "envelope", &profile::envelope_keys());
}
