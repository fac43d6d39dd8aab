//! One libFuzzer binary for all targets; `SQUALL_FUZZ` names the one to run.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use squall::live::fuzz::{TARGETS, Target};
use squall::problem::SourceFile;

/// Readers of files, which are no part of the live world.
const READERS: [(&str, Target); 3] = [
    ("scenario", |data| {
        if let Some(file) = file(data) {
            let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
            let _ = squall::scenario::parse(file, &mut { nothing });
        }
    }),
    ("series", |data| {
        if let Some(file) = file(data) {
            let _ = squall::fit::Series::read(file, false);
        }
    }),
    ("access-log", |data| {
        for line in std::str::from_utf8(data).unwrap_or_default().lines() {
            let _ = squall::plan::replay::Announce::read(line);
        }
    }),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("SQUALL_FUZZ").expect("SQUALL_FUZZ names a target");
    let mut all = TARGETS.iter().chain(&READERS);
    all.find(|(name, _)| *name == wanted).unwrap_or_else(|| panic!("no target {wanted}")).1
});

fn file(data: &[u8]) -> Option<SourceFile> {
    let text = std::str::from_utf8(data).ok()?.to_owned();
    Some(SourceFile { path: PathBuf::from("fuzz"), text })
}

fuzz_target!(|data: &[u8]| TARGET(data));
