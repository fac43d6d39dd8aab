//! A share of a core, and no more, for a process: a target whose capacity is known not to change.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::installed;

/// Time in which the share is given; the kernel gives 1 ms of it at least.
const PERIOD: Duration = Duration::from_millis(100);

/// A control group of its own; it goes with the test.
pub(crate) struct Quota {
    group: PathBuf,
    pid: u32,
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Nothing is in a group that goes.
        let parent = self.group.with_file_name("cgroup.procs");
        let _ = fs::write(parent, self.pid.to_string());
        let _ = fs::remove_dir(&self.group);
    }
}

impl Quota {
    /// Holds a process to `percent` of a core; `None` where this machine does not let us.
    pub(crate) fn hold(pid: u32, percent: u32) -> Option<Self> {
        let quota = Self::of(pid, percent);
        installed("a writable cgroup with a CPU controller", quota.is_ok());
        quota.ok()
    }

    /// The same for tests that can do without; an error where this machine does not let us.
    pub(crate) fn of(pid: u32, percent: u32) -> std::io::Result<Self> {
        let name = format!("squall-{pid}");
        let (period, share) = (PERIOD.as_micros(), PERIOD.as_micros() * u128::from(percent) / 100);
        // The first hierarchy, and the second.
        let (group, settings) = if Path::new("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists() {
            let settings =
                vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", share.to_string())];
            (Path::new("/sys/fs/cgroup/cpu").join(name), settings)
        } else {
            let root = Path::new("/sys/fs/cgroup");
            // The controller may have to be handed down first.
            let _ = set(&root.join("cgroup.subtree_control"), "+cpu");
            (root.join(name), vec![("cpu.max", format!("{share} {period}"))])
        };
        fs::create_dir(&group)?;
        let quota = Self { group, pid };
        for (file, value) in settings {
            set(&quota.group.join(file), &value)?;
        }
        fs::write(quota.group.join("cgroup.procs"), pid.to_string())?;
        Ok(quota)
    }
}

/// Writes a setting; never creates it: what is no control group has no such file.
fn set(file: &Path, value: &str) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}
