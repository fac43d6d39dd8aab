//! What tests of the whole program share.
#![allow(dead_code)]

pub(crate) mod scenario;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) fn squall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    squall().args(arguments).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Waits until `look` finds what it looks for; bounded, and says what it waited for.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "no {what} after {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A started program that is killed with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.0)
    }

    /// Its exit code and what it printed, once it has ended.
    pub(crate) fn finish(mut self, limit: Duration) -> (Option<i32>, String, String) {
        let status = wait_for("end of the program", limit, || self.0.try_wait().unwrap());
        let read = |stream: Option<&mut dyn std::io::Read>| {
            let mut text = String::new();
            stream.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let out = read(self.0.stdout.as_mut().map(|stream| stream as &mut dyn std::io::Read));
        let err = read(self.0.stderr.as_mut().map(|stream| stream as &mut dyn std::io::Read));
        (status.code(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whole rows that a recording's timeline has on disk by now, its header not counted.
pub(crate) fn rows(dir: &Path) -> usize {
    let text = std::fs::read_to_string(dir.join("timeline.jsonl")).unwrap_or_default();
    text.lines().count().saturating_sub(1)
}

/// The processes that a target profile names, as (layer, pid).
pub(crate) fn processes(profile: &str) -> Vec<(String, i32)> {
    let profile: toml::Table = profile.parse().unwrap();
    let process = |entry: &toml::Value| {
        let layer = entry["layer"].as_str().unwrap().to_owned();
        (layer, i32::try_from(entry["pid"].as_integer().unwrap()).unwrap())
    };
    profile["process"].as_array().unwrap().iter().map(process).collect()
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Every file below a directory with its bytes, by path from there.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn collect(root: &Path, dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                found.push((path.strip_prefix(root).unwrap().into(), std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    collect(dir, dir, &mut found);
    found.sort();
    found
}

/// A command in a network namespace of its own; `None` where this machine does not allow that.
pub(crate) fn unshared(program: &str) -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let way = ways.into_iter().find(|way| {
        let probe = Command::new("unshare").args(*way).args(["ip", "link", "set", "lo", "up"]).output();
        probe.is_ok_and(|output| output.status.success())
    })?;
    let mut command = Command::new("unshare");
    command.args(way).arg(program);
    Some(command)
}
