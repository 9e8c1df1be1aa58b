//! The servers that are compared: each a process of its own on a free loopback port, ended when
//! its value is dropped.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{Fault, load::milliseconds, plan::Plan};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Somebody else may take a free port before the server does.
const TRIES: usize = 5;

/// A running server.
pub(crate) struct Server {
    /// The address it listens on.
    pub(crate) address: SocketAddr,
    /// The time from exec to listening, in milliseconds.
    pub(crate) started_in: f64,
    child: Child,
    /// Its configuration and its log.
    folder: TempDir,
}

impl Server {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its configuration, and what it writes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Fault> {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err("the server is gone".into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM lets nginx end its workers too. By process id, so that nobody else is meant.
        let pid = self.child.id().to_string();
        let _asked = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(3) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The pretended upstream.
pub(crate) fn mock() -> Result<Server, Fault> {
    own(&["mock".to_owned()])
}

/// The bare forwarder; with a plan it runs the four stages too.
pub(crate) fn bare(upstream: SocketAddr, plan: Option<&Plan>) -> Result<Server, Fault> {
    let mut arguments = vec!["bare".to_owned(), "--upstream".to_owned(), upstream.to_string()];
    if let Some(plan) = plan {
        arguments.extend(["--plan".to_owned(), serde_json::to_string(plan)?]);
    }
    own(&arguments)
}

/// A command of this program, which prints where it listens and ends with its standard input.
fn own(arguments: &[String]) -> Result<Server, Fault> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().ok_or("no standard output")?;
    BufReader::new(output).read_line(&mut line)?;
    let address =
        line.trim().parse().map_err(|_| format!("{} did not start", arguments.concat()))?;
    Ok(Server { address, started_in: milliseconds(started.elapsed()), child, folder })
}

/// nginx as a proxy that parses nothing and holds nothing back.
pub(crate) fn nginx(upstream: SocketAddr) -> Result<Server, Fault> {
    on_free_port(|folder, port| {
        let path = folder.display();
        // Started by root, its workers would be somebody who may not write there.
        let user = if is_root() { "user root;\n" } else { "" };
        let config = format!(
            "{user}daemon off;
worker_processes auto;
pid {path}/pid;
error_log {path}/log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {path}/body;
    proxy_temp_path {path}/proxy;
    fastcgi_temp_path {path}/fastcgi;
    uwsgi_temp_path {path}/uwsgi;
    scgi_temp_path {path}/scgi;
    upstream mock {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        keepalive_requests 100000000;
        tcp_nodelay on;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        // Debian has it where ordinary users do not look.
        if Path::new("/usr/sbin/nginx").exists() {
            command = Command::new("/usr/sbin/nginx");
        }
        command.arg("-e").arg(folder.join("log")).arg("-p").arg(folder).arg("-c").arg(&file);
        Ok(command)
    })
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|line| line.split_whitespace().nth(1)) == Some("0")
}

/// What a Chorus is configured with: models that bear the names of the pretended ones.
pub(crate) struct Setup<'a> {
    /// Asked directly.
    pub(crate) models: Vec<String>,
    /// What `chorus` answers with.
    pub(crate) plan: &'a Plan,
}

/// Chorus as people run it: default settings, one log line a request, into a file.
pub(crate) fn chorus(
    binary: &Path,
    upstream: SocketAddr,
    setup: &Setup<'_>,
) -> Result<Server, Fault> {
    chorus_with(binary, &config(upstream, setup))
}

/// Chorus with this config, which is `config.toml` in its folder.
pub(crate) fn chorus_with(binary: &Path, config: &str) -> Result<Server, Fault> {
    on_free_port(|folder, port| {
        let file = folder.join("config.toml");
        fs::write(&file, config)?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(&file).arg("--port").arg(port.to_string());
        Ok(command)
    })
}

fn config(upstream: SocketAddr, setup: &Setup<'_>) -> String {
    let mut text = String::from("[server]\nmax_in_flight = 8192\n");
    let plan = setup.plan;
    let mut model = |name: &str, auto: bool| {
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "\n[[model]]\nname = \"{name}\"\napi_base = \"http://{upstream}/v1\"\n\
             auto_temperature = {auto}\n"
        );
    };
    for name in &setup.models {
        model(name, false);
    }
    for name in &plan.workers {
        model(name, plan.dependent);
    }
    for name in
        [Some(&plan.analyzer), plan.selector.as_ref(), Some(&plan.writer)].into_iter().flatten()
    {
        model(name, false);
    }
    let mut stages = json!({
        "analyzer": { "ref": plan.analyzer },
        "workers": plan.workers,
        "synthesizer": { "ref": plan.writer }
    });
    if let Some(selector) = &plan.selector {
        stages["selector"] = json!({ "ref": selector });
    }
    let _infallible = write!(text, "\n[workflow-integration]\njson = '''{stages}'''\n");
    text
}

/// Starts a server that must be given its port, on one that is free.
fn on_free_port(command: impl Fn(&Path, u16) -> Result<Command, Fault>) -> Result<Server, Fault> {
    let mut log = String::new();
    for _ in 0..TRIES {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = tempfile::tempdir()?;
        // Not beside the configuration, whose folder Chorus watches.
        let said = folder.path().join("said");
        fs::create_dir(&said)?;
        let errors = File::create(said.join("errors"))?;
        let mut command = command(folder.path(), port)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mut server = Server { address, started_in: 0.0, child, folder };
        while started.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                server.started_in = milliseconds(started.elapsed());
                return Ok(server);
            }
            if !matches!(server.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        log = fs::read_to_string(server.folder.path().join("said/errors")).unwrap_or_default();
    }
    Err(format!("a server did not start: {log}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shape;

    #[test]
    fn the_configuration_names_every_model_once() {
        let shape = Shape { latency: [1, 2, 3, 4], tokens: [5, 6], gap: 7 };
        let plan = Plan::new(shape, 3, true, true);
        let setup = Setup { models: vec!["direct".to_owned()], plan: &plan };
        let text = config("127.0.0.1:9".parse().unwrap(), &setup);
        assert_eq!(text.matches("[[model]]").count(), 1 + 3 + 3);
        assert_eq!(text.matches("auto_temperature = true").count(), 3);
    }
}
