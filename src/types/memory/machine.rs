//! How much memory this process may use, as Linux tells it. The crates that know (`sysinfo`) read all
//! processes and disks too; this is two files and a folder's way up.

use std::{fs, path::Path};

/// In bytes: what the machine has, or the least that a control group on the way to the top may use;
/// `None` where nobody says.
pub(super) fn memory() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(&groups, Path::new("/sys/fs/cgroup"));
    machine.into_iter().chain(group).min()
}

/// `MemTotal:       16318480 kB`.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the groups that `/proc/self/cgroup` names, and of those above them: of version 2
/// (`0::/a/b`) in `memory.max`, of version 1 (`4:memory:/a/b`) in `memory.limit_in_bytes`.
fn group_limit(groups: &str, root: &Path) -> Option<usize> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container the path may be one of outside, of which only the top is there.
        let folder = root.join(path.trim_start_matches('/'));
        let up = folder.ancestors().filter(|above| above.starts_with(&root));
        let limit = |folder: &Path| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            // `max`, or a number beyond every machine's: none.
            text.trim().parse::<usize>().ok()
        };
        up.filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16318480 kB\n"), Some(16_318_480 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(memory().is_some_and(|bytes| bytes > 16 << 20));
    }

    #[test]
    fn the_narrowest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("a/memory.max", "4096\n");
        write("a/b/memory.max", "8192\n");
        write("c/memory.max", "max\n");
        write("memory/memory.limit_in_bytes", "2048\n");
        write("memory/d/memory.limit_in_bytes", "9223372036854771712\n");
        for (groups, want) in [
            ("0::/a/b\n", Some(4096)),
            ("0::/a\n", Some(4096)),
            ("0::/c\n", None),
            ("0::/\n", None),
            ("0::/of/outside\n", None),
            ("4:memory:/d\n0::/\n", Some(2048)),
            ("4:cpu,memory:/of/outside\n", Some(2048)),
            ("4:cpu:/a\n", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(group_limit(groups, root.path()), want, "{groups}");
        }
    }
}
