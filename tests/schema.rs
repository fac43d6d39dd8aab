//! The JSON Schemas in `profiles/schema/` say what the reading code says, and every shipped file keeps to its own.
//!
//! `SQUALL_BLESS=1 cargo test --test schema` writes them anew.

#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jsonschema::Validator;
use serde_json::{Value, json};
use squall::commands::{SchemaOf, schema};
use squall::problem::FileKind;

use program::{run, stderr};

fn validator(of: SchemaOf) -> Validator {
    jsonschema::draft202012::new(&serde_json::from_str(&schema(of)).unwrap()).unwrap()
}

/// A TOML document as JSON; dates and times become text.
fn document(text: &str) -> Value {
    fn json(value: toml::Value) -> Value {
        match value {
            toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
            toml::Value::Array(items) => items.into_iter().map(json).collect(),
            toml::Value::Datetime(moment) => moment.to_string().into(),
            other => serde_json::to_value(other).unwrap(),
        }
    }
    json(toml::Value::Table(text.parse().unwrap()))
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {directory}");
    files
}

#[test]
fn the_schemas_are_what_is_read() {
    let formats = SchemaOf::value_variants();
    assert!(FileKind::value_variants().iter().all(|kind| formats.contains(&SchemaOf::File(*kind))));
    for kind in formats {
        let path = format!("profiles/schema/{}.json", kind.name());
        if std::env::var_os("SQUALL_BLESS").is_some() {
            fs::write(&path, schema(*kind)).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == schema(*kind), "{path}: SQUALL_BLESS=1 cargo test --test schema");
        assert!(jsonschema::meta::is_valid(&serde_json::from_str(&written).unwrap()));
    }
}

#[test]
fn every_shipped_file_names_its_schema_and_keeps_to_it() {
    for path in ["scenarios", "profiles", "profiles/envelopes"].into_iter().flat_map(toml_files) {
        let text = fs::read_to_string(&path).unwrap();
        let kind = FileKind::of(&text).unwrap();
        let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).unwrap_or_default();
        let named = fs::canonicalize(path.parent().unwrap().join(named)).unwrap();
        let meant = Path::new("profiles/schema").join(kind.name()).with_extension("json");
        assert_eq!(named, fs::canonicalize(meant).unwrap(), "{}", path.display());
        let errors: Vec<String> = validator(SchemaOf::File(kind))
            .iter_errors(&document(&text))
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        let is_profile = validator(SchemaOf::Profile).is_valid(&document(&text));
        assert_eq!(is_profile, kind != FileKind::Scenario, "{}", path.display());
    }
}

#[test]
fn a_schema_refuses_what_the_reading_code_refuses() {
    let good = document(&fs::read_to_string("scenarios/listing-day.toml").unwrap());
    let validator = validator(SchemaOf::File(FileKind::Scenario));
    assert!(validator.is_valid(&good));
    let broken = [
        ("/duration", json!("48 hours?")),
        ("/duration", json!(48)),
        ("/kind", json!("access")),
        ("/audience/base", json!("6")),
        ("/audience/region/0/utc_offset", json!("8:00")),
        ("/audience/region", json!([])),
        ("/signal/2/price", json!("18%")),
        ("/signal/2", json!({ "name": "surge", "at": "37h", "colour": "red" })),
        ("/content/0", json!({ "class": "client", "size": "4 MiB" })),
        ("/content/0/size", json!("4")),
        ("/content/0/items", json!(1.5)),
        ("/side/0/follows", json!("money")),
    ];
    for (place, value) in broken {
        let mut document = good.clone();
        *document.pointer_mut(place).unwrap() = value.clone();
        assert!(!validator.is_valid(&document), "{place} = {value}");
    }
    // Text or number, as it is read.
    for share in [json!("45%"), json!("45 %"), json!(0.45)] {
        let mut document = good.clone();
        *document.pointer_mut("/audience/region/0/share").unwrap() = share.clone();
        assert!(validator.is_valid(&document), "{share}");
    }
}

/// Every place of a document, as JSON pointers.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
                places(value, &place, found);
                found.push(place);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                places(value, &format!("{place}/{i}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_summary_of_a_run_keeps_to_its_schema_and_a_changed_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    // A minute of a listing day that the model cannot serve: breaches, failures by cause, groups.
    let scale = "40";
    let arguments =
        ["simulate", "scenarios/listing-day.toml", "--quiet", "--scale", scale, "--window", "36h..36h30m"];
    let output = run(&[&arguments[..], &["--speed", "100", "--out", &out.display().to_string()]].concat());
    let text = fs::read_to_string(out.join("summary.json")).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert!(summary["kinds"][0]["main_cause"].is_string(), "{:#}", summary["kinds"][0]);
    let validator = validator(SchemaOf::Summary);
    let errors: Vec<String> =
        validator.iter_errors(&summary).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");

    let mut found = Vec::new();
    places(&summary, "", &mut found);
    assert!(found.len() > 200, "{} places", found.len());
    for place in &found {
        let mut wrong = summary.clone();
        *wrong.pointer_mut(place).unwrap() = json!({ "nothing": ["of", "the", "kind"] });
        assert!(!validator.is_valid(&wrong), "{place} may be anything");
        let parts: Vec<&str> = place.split('/').skip(1).collect();
        // Maps by name: what did not occur is not there.
        if let ["manifest", "planned", _]
        | ["manifest", "envelope", "layers", _]
        | ["manifest", "outlook", "peaks", _]
        | [.., "failed", _]
        | ["breakdown", _, _]
        | ["breakdown", _, _, _] = parts.as_slice()
        {
            continue;
        }
        let mut less = summary.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        less.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&less), "{place} may be left out");
    }
}
