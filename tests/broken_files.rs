//! Broken files and what is said about them: each file of `tests/broken/` stands beside the exact text (`.txt`) of its report.
//!
//! `SQUALL_BLESS=1 cargo test --test broken_files` writes the texts anew; read the difference before committing it.

#![expect(clippy::expect_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use squall::commands::check;
use squall::model::ModelTarget;
use squall::problem::{FileKind, SourceFile};
use squall::profile::{Target, parse_access, parse_clients, parse_envelope};
use squall::scenario;

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("directory of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
}

#[test]
fn every_shipped_file_is_good() {
    let paths: Vec<PathBuf> =
        ["scenarios", "profiles", "profiles/envelopes"].into_iter().flat_map(files).collect();
    assert!(paths.len() >= 5, "three scenarios and two profiles: {paths:?}");
    let result = check(&paths, false);
    assert!(result.ok, "{}", result.text);
}

#[test]
fn every_broken_file_gives_exactly_its_report() {
    let bless = std::env::var_os("SQUALL_BLESS").is_some();
    let paths = files("tests/broken");
    assert!(paths.len() >= 20, "{} broken files", paths.len());
    for path in paths {
        let result = check(std::slice::from_ref(&path), false);
        assert!(!result.ok, "{} is not broken", path.display());
        let golden = path.with_extension("txt");
        if bless {
            fs::write(&golden, &result.text).expect("writing a golden text");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(result.text, expected, "{}", path.display());
    }
}

#[test]
fn problems_of_several_files_are_reported_together() {
    let paths: Vec<PathBuf> =
        ["tests/broken/unknown-key.toml", "tests/broken/gone.toml", "scenarios/listing-day.toml"]
            .map(PathBuf::from)
            .into();
    let result = check(&paths, false);
    assert!(!result.ok);
    let parts = [
        "scenarios/listing-day.toml: a good file of kind `scenario`\n",
        "unknown key `volum`",
        "cannot read the file: No such file or directory",
        "\n2 problems\n",
    ];
    for part in parts {
        assert!(result.text.contains(part), "{part:?} in\n{}", result.text);
    }
}

#[test]
fn a_target_without_a_file_is_named_by_its_origin() {
    let report = Target::parse("squall = 1\nkind = \"target\"\nname = 3", "testbed").unwrap_err();
    let lines = report.lines();
    assert!(lines.contains(&"testbed:3:8: `name` must be a name of at most 64 letters, digits, `-`, `_` and `.` (for example \"asia-pacific\")".to_owned()), "{lines:#?}");
}

/// Reads `text` as every kind of file; the reports must be non-empty and printable.
fn read_as_everything(text: &str) {
    let file = || SourceFile { path: PathBuf::from("any.toml"), text: text.to_owned() };
    let open = &mut |path: &Path| Ok(SourceFile { path: path.to_owned(), text: text.to_owned() });
    if let Err(report) = scenario::parse(file(), open) {
        assert!(!report.is_empty());
        assert!(!report.render(false).is_empty());
        assert_eq!(report.lines().len(), report.len());
    }
    if let Err(report) = Target::parse(text, "any") {
        assert!(!report.is_empty());
        assert!(!report.render(true).is_empty());
    }
    if let Err(report) = ModelTarget::of(file()) {
        assert!(!report.is_empty());
    }
    for problems in [
        parse_clients(text).err(),
        parse_access(text).err(),
        parse_envelope(text).err(),
        FileKind::of(text).err(),
    ] {
        assert!(problems.is_none_or(|problems| !problems.is_empty()));
    }
}

const TARGET: &str = include_str!("whole-target.toml");

fn whole_files() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> =
        ["scenarios", "profiles", "profiles/envelopes"].into_iter().flat_map(files).collect();
    paths.push("tests/whole-target.toml".into());
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("readable"))).collect()
}

#[test]
fn a_wrong_value_hides_and_causes_no_other_problem() {
    for (path, text) in whole_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else { continue };
            // The header ends the reading, and a wrong file name hides the file.
            if line.starts_with('#') || ["squall", "kind"].contains(&key) {
                continue;
            }
            let mut broken = lines.clone();
            let wrong = format!("{key} = [[1979-05-27]]");
            broken[number] = &wrong;
            let broken = broken.join("\n");
            let report = report_of(&path, &broken);
            let reported: Vec<&String> =
                report.iter().filter(|line| line.contains(&format!(":{}:", number + 1))).collect();
            assert_eq!(
                (report.len(), reported.len()),
                (1, 1),
                "{} line {}: {report:#?}",
                path.display(),
                number + 1
            );
        }
    }
}

fn report_of(path: &Path, text: &str) -> Vec<String> {
    let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
    let report = match FileKind::of(text).expect("a header") {
        FileKind::Scenario => scenario::parse(file, &mut SourceFile::open).err(),
        FileKind::Target => Target::of(file).err(),
        FileKind::Clients => {
            parse_clients(text).err().map(|problems| squall::problem::Report::of(file, problems))
        }
        FileKind::Access => {
            parse_access(text).err().map(|problems| squall::problem::Report::of(file, problems))
        }
        FileKind::Model => ModelTarget::of(file).err(),
        FileKind::Envelope => {
            parse_envelope(text).err().map(|problems| squall::problem::Report::of(file, problems))
        }
    };
    report.map(|report| report.lines()).unwrap_or_default()
}

#[test]
fn the_whole_target_is_good() {
    assert_eq!(Target::parse(TARGET, "whole").map(|target| target.name).as_deref(), Ok("staging"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_panics_the_reader(text in "(\\PC|[\n\r\t\"'=.#\\[\\]{}]){0,200}") {
        read_as_everything(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_panics_the_reader(which in 0..6usize, from in 0.0..1.0f64, length in 0..60usize, insert in "\\PC{0,8}|[\\[\\]{}=\"]{0,4}") {
        let (_, text) = whole_files().swap_remove(which);
        let characters: Vec<char> = text.chars().collect();
        let from = (from * characters.len() as f64) as usize;
        let until = (from + length).min(characters.len());
        let damaged: String = characters[..from].iter().copied().chain(insert.chars()).chain(characters[until..].iter().copied()).collect();
        read_as_everything(&damaged);
    }
}
