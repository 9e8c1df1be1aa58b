//! No core dumps of a server: one holds every key and every conversation of the moment.

use crate::config::Env;

/// Set to 1, it lets the system dump and debuggers attach as usual.
const ALLOWED_BY: &str = "CHORUS_CORE_DUMPS";

/// Has the system write no core dump of this process, and no debugger of the same user attach to it
/// where the system tells one process from another (Linux), unless the environment allows both.
pub(super) fn forbid(env: Env<'_>) {
    if env(ALLOWED_BY).is_some_and(|value| value == "1") {
        return;
    }
    if let Err(error) = none_of_us() {
        tracing::warn!(%error, "core dumps cannot be forbidden; they hold keys and conversations");
    }
}

#[cfg(unix)]
fn none_of_us() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?;
    // The limit does not hold for dumps that are piped into a program, as systemd does.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(not(unix))]
fn none_of_us() -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{
        DumpableBehavior, Resource, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
    };

    use super::*;

    #[test]
    fn dumps_are_forbidden_unless_the_environment_allows_them() {
        let (before, limit) = (dumpable_behavior().unwrap(), getrlimit(Resource::Core));
        forbid(&|name| (name == ALLOWED_BY).then(|| "1".to_owned()));
        assert_eq!(dumpable_behavior().unwrap(), before);
        forbid(&|_| None);
        let (forbidden, none) = (dumpable_behavior().unwrap(), getrlimit(Resource::Core).current);
        // This process is that of all tests.
        set_dumpable_behavior(before).unwrap();
        setrlimit(Resource::Core, limit).unwrap();
        assert_eq!((forbidden, none), (DumpableBehavior::NotDumpable, Some(0)));
    }
}
