//! Control groups of a process, as folders with their ancestors: each of them can set a bound. By hand: the crates for control groups
//! make them, and reading takes few files.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use procfs::ProcessCGroup;
use procfs::process::Process;

/// The control groups of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Groups {
    /// Of version 2, where one is mounted.
    unified: Vec<String>,
    /// Of version 1: of CPU time, and of memory.
    cpu: Vec<String>,
    memory: Vec<String>,
}

impl Groups {
    /// Those of a process.
    pub(super) fn of(process: &Process) -> Self {
        Self::under("/sys/fs/cgroup", &process.cgroups().map(|all| all.0).unwrap_or_default())
    }

    /// Those of a process that is in these, where they are mounted under `root`.
    fn under(root: &str, groups: &[ProcessCGroup]) -> Self {
        let folders = |mount: &str, controller: &str| -> Vec<String> {
            let is_it = |controllers: &[String]| match controller {
                "" => controllers.iter().all(String::is_empty),
                name => controllers.iter().any(|it| it == name),
            };
            let group = groups.iter().find(|group| is_it(&group.controllers));
            let ancestors = group.into_iter().flat_map(|group| Path::new(&group.pathname).ancestors());
            // In a container the path may be the host's, and the container's own group stands at the mount.
            let folders = ancestors.map(|path| format!("{root}{mount}{}", path.display()));
            folders.filter(|folder| Path::new(folder).is_dir()).collect()
        };
        Self { unified: folders("", ""), cpu: folders("/cpu", "cpu"), memory: folders("/memory", "memory") }
    }

    /// CPU that they let it have, in cores.
    pub(super) fn quota(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|folder| quota(&text(folder, "cpu.max")));
        let first = self.cpu.iter().filter_map(|folder| {
            quota(&format!("{} {}", text(folder, "cpu.cfs_quota_us"), text(folder, "cpu.cfs_period_us")))
        });
        unified.chain(first).min_by(f64::total_cmp)
    }

    /// For how long the quota of one of them kept it from the CPU so far, in seconds.
    pub(super) fn throttled(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|it| throttled(&text(it, "cpu.stat")));
        let first = self.cpu.iter().filter_map(|it| throttled(&text(it, "cpu.stat")));
        unified.chain(first).max_by(f64::total_cmp)
    }

    /// Memory that is left in the tightest of them, in bytes. What they hold of files and nobody used lately is left too, as the kernel
    /// takes it back before anything else: a seeder's group is full of such. (Kubernetes' "working set" is the same.)
    pub(super) fn memory(&self) -> Option<u64> {
        let left = |folder: &String, [limit, used, cached]: [&str; 3]| {
            let number = |name| text(folder, name).trim().parse::<u64>().ok();
            let held =
                number(used)?.saturating_sub(statistic(&text(folder, "memory.stat"), cached).unwrap_or(0));
            Some(number(limit)?.saturating_sub(held))
        };
        let unified = ["memory.max", "memory.current", "inactive_file"];
        let unified = self.unified.iter().filter_map(|folder| left(folder, unified));
        let first = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
        let first = self.memory.iter().filter_map(|folder| left(folder, first));
        unified.chain(first).min()
    }
}

/// A file of a group; empty where there is none.
fn text(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(folder).join(name)).unwrap_or_default()
}

/// Cores of a quota and its period, such as `150000 100000`; `None` for `max` or a negative one, which set no bound.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(f64::from_str);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// Seconds of `throttled_usec` (version 2) or `throttled_time`, in nanoseconds (version 1), of a `cpu.stat`.
fn throttled(text: &str) -> Option<f64> {
    let unified = statistic(text, "throttled_usec").map(|micros| micros as f64 / 1e6);
    unified.or_else(|| Some(statistic(text, "throttled_time")? as f64 / 1e9))
}

/// The number behind a name in a `cpu.stat` or `memory.stat`.
fn statistic(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(of, _)| *of == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with these files.
    fn mounted(files: &[(&str, &str)]) -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let name = root.path().to_str().unwrap().to_owned();
        (root, name)
    }

    fn group(hierarchy: u32, controllers: &[&str], pathname: &str) -> ProcessCGroup {
        let controllers = controllers.iter().map(|&name| name.to_owned()).collect();
        ProcessCGroup { hierarchy, controllers, pathname: pathname.to_owned() }
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        // As systemd has it: the slice states a quota, the service in it a smaller limit of memory; the root has neither.
        let (_root, root) = mounted(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("cpu.stat", "usage_usec 9\n"),
            ("fleet.slice/cpu.max", "150000 100000\n"),
            ("fleet.slice/cpu.stat", "usage_usec 9\nnr_throttled 2\nthrottled_usec 2500000\n"),
            ("fleet.slice/memory.max", "max\n"),
            ("fleet.slice/memory.current", "900\n"),
            ("fleet.slice/seeder.service/cpu.max", "max 100000\n"),
            ("fleet.slice/seeder.service/cpu.stat", "usage_usec 9\nnr_throttled 0\nthrottled_usec 0\n"),
            ("fleet.slice/seeder.service/memory.max", "1000\n"),
            ("fleet.slice/seeder.service/memory.current", "900\n"),
            ("fleet.slice/seeder.service/memory.stat", "anon 100\ninactive_file 700\nactive_file 100\n"),
        ]);
        let groups = Groups::under(&root, &[group(0, &[], "/fleet.slice/seeder.service")]);
        assert_eq!((groups.quota(), groups.throttled()), (Some(1.5), Some(2.5)));
        assert_eq!(groups.memory(), Some(800), "what files take is given back");
        let elsewhere = Groups::under(&root, &[group(0, &[], "/of/the/host")]);
        assert_eq!((elsewhere.quota(), elsewhere.throttled(), elsewhere.memory()), (None, None, None));
    }

    #[test]
    fn controllers_of_version_1_have_trees_of_their_own() {
        let (_root, root) = mounted(&[
            ("cpu/a/cpu.cfs_quota_us", "5000\n"),
            ("cpu/a/cpu.cfs_period_us", "100000\n"),
            ("cpu/a/cpu.stat", "nr_periods 3\nthrottled_time 1500000000\n"),
            ("memory/b/memory.limit_in_bytes", "1000\n"),
            ("memory/b/memory.usage_in_bytes", "900\n"),
            ("memory/b/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
        ]);
        let groups = [group(4, &["cpu", "cpuacct"], "/a"), group(3, &["memory"], "/b"), group(0, &[], "/")];
        let groups = Groups::under(&root, &groups);
        assert_eq!((groups.quota(), groups.throttled()), (Some(0.05), Some(1.5)));
        assert_eq!(groups.memory(), Some(400));
    }

    #[test]
    fn quotas_are_read_as_the_kernel_writes_them() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(["max 100000\n", "-1\n 100000\n", "", "100000", "0 0"].map(quota), [None; 5]);
        assert_eq!(throttled("nr_periods 3\nnr_throttled 1\nthrottled_time 1500000000\n"), Some(1.5));
        assert_eq!(throttled("usage_usec 9\nthrottled_usec 2500000\nnr_bursts 0\n"), Some(2.5));
        assert_eq!(["", "usage_usec 9\n", "throttled_usec x\n"].map(throttled), [None; 3]);
    }
}
