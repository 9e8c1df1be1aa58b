//! What a service manager is told (sd_notify(3)): that the service is ready, loads its config again, ends,
//! and is alive. It is one datagram each, for which a crate would be more code than this.

use std::{future::pending, time::Duration};

#[cfg(target_os = "linux")]
use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

use tokio::time::{MissedTickBehavior, interval};

/// The one that started this process, if any did that listens.
#[derive(Debug)]
pub(super) struct ServiceManager {
    #[cfg(target_os = "linux")]
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the service is alive.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it.
    pub(super) fn of(env: &dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            socket: env("NOTIFY_SOCKET").and_then(|name| socket(&name)),
            watchdog: watchdog(env),
        }
    }

    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// It wants to know when that began, on the clock that both have.
    pub(super) fn reloading(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{ClockId, clock_gettime};
            let now = clock_gettime(ClockId::Monotonic);
            let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
            self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        }
    }

    /// Says again and again that the service is alive, where that is wanted. Never ends.
    pub(super) async fn keep_alive(&self) {
        let Some(every) = self.watchdog else { return pending().await };
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    #[cfg(target_os = "linux")]
    fn say(&self, state: &str) {
        let Some((socket, manager)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), manager) {
            tracing::warn!(state, %error, "the service manager cannot be told");
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "there is no such service manager here")]
    fn say(&self, _state: &str) {}
}

#[cfg(target_os = "linux")]
fn socket(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let manager = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let opened = manager.and_then(|manager| {
        let socket = UnixDatagram::unbound()?;
        // It is never waited for.
        socket.set_nonblocking(true)?;
        Ok((socket, manager))
    });
    opened.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used")).ok()
}

/// Half of the time that may pass, as systemd advises; only what is meant for this process counts.
fn watchdog(env: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let own = std::process::id();
    let is_other =
        env("WATCHDOG_PID").is_some_and(|pid| pid.trim().parse::<u32>().ok() != Some(own));
    let micros: u64 = env("WATCHDOG_USEC")?.trim().parse().ok()?;
    (!is_other && micros > 1).then(|| Duration::from_micros(micros / 2))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tokio::time::timeout;

    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_state_is_one_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("chorus-test-{}", std::process::id());
        let named = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (manager, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&named).unwrap(), format!("@{abstract_name}")),
        ] {
            let env = |key: &str| match key {
                "NOTIFY_SOCKET" => Some(name.clone()),
                "WATCHDOG_USEC" => Some("2000".to_owned()),
                _ => None,
            };
            let service = ServiceManager::of(&env);
            service.ready();
            assert_eq!(heard(&manager), "READY=1");
            service.reloading();
            assert!(heard(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
            service.stopping();
            assert_eq!(heard(&manager), "STOPPING=1");
            assert!(timeout(Duration::from_millis(50), service.keep_alive()).await.is_err());
            assert_eq!([heard(&manager), heard(&manager)], ["WATCHDOG=1", "WATCHDOG=1"]);
        }
    }

    #[test]
    fn only_what_is_meant_for_this_process_counts() {
        let own = std::process::id().to_string();
        for (micros, pid, want) in [
            (Some("3000000"), None, Some(1500)),
            (Some("3000000"), Some(own.as_str()), Some(1500)),
            (Some("3000000"), Some("1"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, None, None),
        ] {
            let env = |key: &str| match key {
                "WATCHDOG_USEC" => micros.map(str::to_owned),
                "WATCHDOG_PID" => pid.map(str::to_owned),
                _ => None,
            };
            assert_eq!(watchdog(&env), want.map(Duration::from_millis), "{micros:?} {pid:?}");
        }
        // Nobody listens, and nobody minds.
        ServiceManager::of(&|_| None).ready();
        ServiceManager::of(&|_| Some("/nowhere/at/all".to_owned())).ready();
    }
}
