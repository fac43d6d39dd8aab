//! The architecture page held against the code: the layer table, the bans, the length of files.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What must not stand where: (text, where it may stand, why).
const BANS: &[(&str, &[&str], &str)] = &[
    ("Instant::now", &["src/live/", "harness/"], "time is an argument; only the live world has a clock"),
    ("SystemTime", &["src/live/", "src/commands/", "harness/"], "wall time is for dates of recordings only"),
    (
        "Timestamp::now",
        &["src/live/", "src/commands/", "harness/"],
        "wall time is for dates of recordings only",
    ),
    ("print!(", &["harness/"], "modules return text, `commands::print` alone prints it"),
    ("println!(", &["harness/"], "modules return text, `commands::print` alone prints it"),
    ("io::stdout", &["src/commands/", "harness/"], "modules return text, `commands::print` alone prints it"),
    ("io::stderr", &["src/commands/", "harness/"], "modules return text, `commands::print` alone prints it"),
    ("thread::sleep", &["harness/"], "wait for the thing itself"),
    ("lookup_host", &[], "resolving a name sends packets before the guard has spoken"),
    ("to_socket_addrs", &[], "resolving a name sends packets before the guard has spoken"),
    ("RwLock<", &[], "workers share nothing"),
    ("TcpStream::connect", &["src/live/guard", "harness/"], "every socket is opened by the guard"),
    ("TcpSocket::new", &["src/live/guard", "harness/"], "every socket is opened by the guard"),
    ("UdpSocket::bind", &["src/live/guard", "harness/"], "every socket is opened by the guard"),
    ("Socket::new", &["src/live/guard", "harness/"], "every socket is opened by the guard"),
    ("rand::rng()", &[], "every draw comes from a seeded stream"),
    ("from_os_rng", &[], "every draw comes from a seeded stream"),
    ("Mutex<", &["src/commands/", "harness/"], "workers share nothing"),
    (
        "squall_harness",
        &["src/commands/", "src/main.rs", "harness/"],
        "the testbed is wired in by commands alone",
    ),
];

/// Longest file, in lines.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders, as (path from the root, text).
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty());
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The code of a file without its tests, which may do as they like, and without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("_tests.rs")
}

/// The layer table of the architecture page: module → layer.
fn layers() -> BTreeMap<String, u32> {
    let page = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("//! |")?.split('|').map(str::trim);
        let layer = cells.next()?.parse().ok()?;
        let module = cells.next()?.strip_prefix("[`")?.strip_suffix("`]")?.to_owned();
        Some((module, layer))
    };
    page.lines().filter_map(row).collect()
}

/// Names of the crate's modules that a text mentions as `crate::name`, with those of `use crate::{a, b}`.
fn uses(code: &str) -> Vec<String> {
    let identifier =
        |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split_once("};").map_or(list, |(list, _)| list);
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars().chain([',']) {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(identifier(std::mem::take(&mut item).trim())),
                        _ if depth == 0 => item.push(c),
                        _ => {}
                    }
                }
            }
            None => found.push(identifier(rest)),
        }
    }
    found
}

#[test]
fn the_table_names_every_module() {
    let page = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let table = layers();
    assert_eq!(table.keys().map(String::as_str).collect::<Vec<_>>(), declared);
}

#[test]
fn modules_use_only_what_stands_above_them() {
    let layers = layers();
    let mut wrong = Vec::new();
    for (path, text) in sources(&["src"]) {
        let Some(module) = path.strip_prefix("src/").and_then(|rest| rest.split('/').next()) else {
            continue;
        };
        let Some(own) = layers.get(module) else { continue };
        if is_test_file(&path) {
            continue;
        }
        for used in uses(&code(&text)) {
            match layers.get(&used) {
                Some(layer) if used == module || layer < own => {}
                Some(_) => {
                    wrong.push(format!("{path}: uses `{used}`, which does not stand above `{module}`"))
                }
                None => wrong.push(format!("{path}: uses `crate::{used}`, which is not in the table")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_banned_stands_in_the_code() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&["src", "harness"]) {
        if is_test_file(&path) {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate() {
            for (ban, allowed, why) in BANS {
                if line.contains(ban) && !allowed.iter().any(|prefix| path.starts_with(prefix)) {
                    wrong.push(format!("{path}: `{ban}` ({why}), code line {}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_testbed_shares_no_code_with_the_generator() {
    // Fuzzing is no testbed: it calls the generator's decoders, and that is all it does.
    let testbed = sources(&["harness"]).into_iter().filter(|(path, _)| !path.starts_with("harness/fuzz/"));
    for (path, text) in testbed {
        assert!(!code(&text).contains("squall::"), "{path} uses the generator's code");
    }
    let manifest = fs::read_to_string(root().join("harness/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("squall ") || line.starts_with("squall=")));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources(&["src", "harness", "tests", "benches"])
        .iter()
        .filter(|(_, text)| text.lines().count() > MAX_LINES)
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn the_top_level_holds_what_it_should() {
    const ALLOWED: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "profiles",
        "scenarios",
        "harness",
        "benches",
        "tests",
        "README.md",
        "LICENSE",
        "target",
        "runs",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || ALLOWED.contains(&name.as_str()), "`{name}` at the top level");
    }
}

/// The checks above can fail.
#[test]
fn the_checks_see_what_they_should() {
    assert_eq!(uses("use crate::{plan::{A, B}, unit};\nlet x = crate::live::f();"), ["plan", "unit", "live"]);
    assert_eq!(code("a\n// crate::live\n#[cfg(test)]\nmod tests {\nb"), "a");
    assert!(layers().len() > 10);
}
