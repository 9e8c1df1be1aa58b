//! What the kernel knows of a process, its children included, from `/proc`.

use std::{fs, path::Path};

use tokio::signal::unix::{SignalKind, signal};

use crate::Fault;

/// Clock ticks a second in `/proc/PID/stat`; 100 on every Linux that people run.
const TICKS: f64 = 100.0;

/// Waits until this process is asked to end.
pub(crate) async fn asked_to_end() {
    let (Ok(mut interrupted), Ok(mut terminated)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
}

/// Fields of `/proc/PID/stat` behind the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The process and its children, which are nginx's workers.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let Ok(entries) = fs::read_dir(Path::new("/proc")) else { return found };
    for entry in entries.flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let parent = stat(other).and_then(|fields| fields.get(1)?.parse().ok());
        if parent == Some(pid) {
            found.push(other);
        }
    }
    found
}

/// User and system time so far, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let ticks = |pid| {
        let fields = stat(pid)?;
        let user: f64 = fields.get(11)?.parse().ok()?;
        let system: f64 = fields.get(12)?.parse().ok()?;
        Some(user + system)
    };
    family(pid).into_iter().filter_map(ticks).sum::<f64>() / TICKS
}

/// The largest resident size so far, in MB.
pub(crate) fn peak_memory(pid: u32) -> Result<f64, Fault> {
    memory(pid, "VmHWM:")
}

/// The resident size now, in MB.
pub(crate) fn memory_now(pid: u32) -> Result<f64, Fault> {
    memory(pid, "VmRSS:")
}

/// The files and sockets that it has open.
pub(crate) fn open_files(pid: u32) -> Result<usize, Fault> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn memory(pid: u32, key: &str) -> Result<f64, Fault> {
    let mut kibibytes = 0.0;
    for pid in family(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        kibibytes += number.ok_or("a process without memory")?.parse::<f64>()?;
    }
    Ok(kibibytes * 1024.0 / 1e6)
}

/// What the measuring ran on, and how busy it was.
pub(crate) fn machine() -> serde_json::Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or_default().to_owned();
    serde_json::json!({
        "cores": cores, "cpu": model.trim_start_matches([' ', '\t', ':']), "load_before": load
    })
}
