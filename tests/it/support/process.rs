//! The real binary as a child process, with everything it prints captured: for logs, exit codes
//! and signals, which a server inside the test process cannot show.

use std::{
    io::Read,
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::Instant,
};

use super::{Client, Upstream, ms};

/// A running `chorus`. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    client: Client,
    child: Child,
    output: [Option<JoinHandle<Vec<u8>>>; 2],
    /// The output of a process that nobody reads for now.
    ignored: Option<ChildStderr>,
    folder: tempfile::TempDir,
}

/// What else there is to starting one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Launch<'a> {
    /// More of a command line.
    pub arguments: &'a [&'a str],
    /// A limit of its own, in the words of the shell's `ulimit`.
    pub limits: &'a str,
    /// Standard error is a pipe that nobody reads.
    pub is_ignored: bool,
}

impl Process {
    /// Serves the config (`{base}` replaced) on a free port, logging at `level`, with these
    /// variables on top of a nearly empty environment; returns once it answers.
    pub async fn serves(
        upstream: &Upstream,
        config: &str,
        level: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::serves_with(upstream, config, level, variables, &[]).await
    }

    /// The same with more of a command line.
    pub async fn serves_with(
        upstream: &Upstream,
        config: &str,
        level: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let launch = Launch { arguments, ..Launch::default() };
        Self::launched(upstream, config, level, variables, launch).await
    }

    /// The same, with whatever else there is.
    pub async fn launched(
        upstream: &Upstream,
        config: &str,
        level: &str,
        variables: &[(&str, &str)],
        launch: Launch<'_>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, config.replace("{base}", &upstream.base())).expect("a config file");
        let port = free_port();
        let limited = format!("{} && exec \"$0\" \"$@\"", launch.limits);
        let mut command = match launch.limits {
            "" => Command::new(env!("CARGO_BIN_EXE_chorus")),
            _ => Command::new("/bin/sh"),
        };
        if !launch.limits.is_empty() {
            command.args(["-c", &limited, env!("CARGO_BIN_EXE_chorus")]);
        }
        let mut child = command
            .args(["serve", "--port", &port.to_string(), "--config"])
            .arg(&file)
            .args(launch.arguments)
            .env_clear()
            .env("HOME", folder.path())
            .env("RUST_LOG", level)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = child.stderr.take();
        let ignored = if launch.is_ignored { stderr.take() } else { None };
        let output = [
            child.stdout.take().map(|pipe| std::thread::spawn(|| drained(pipe))),
            stderr.map(|pipe| std::thread::spawn(|| drained(pipe))),
        ];
        let client = Client::of(&format!("http://127.0.0.1:{port}"));
        let mut process = Self { client, child, output, ignored, folder };
        process.until_healthy().await;
        process
    }

    /// Has its standard error read after all, from now on.
    pub fn read(&mut self) {
        if let Some(pipe) = self.ignored.take() {
            self.output[1] = Some(std::thread::spawn(|| drained(pipe)));
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client of it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its config file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Asks it to end (SIGTERM), as a service manager does.
    pub fn request_stop(&self) {
        self.signalled("-TERM");
    }

    /// Asks it to load its config again (SIGHUP).
    pub fn request_reload(&self) {
        self.signalled("-HUP");
    }

    fn signalled(&self, signal: &str) {
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(killed.expect("`kill` is everywhere").success());
    }

    /// Waits for its end: exit status, and all it printed.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < ms(40_000), "it does not end");
            tokio::time::sleep(ms(20)).await;
        };
        (status, self.printed())
    }

    async fn until_healthy(&mut self) {
        let start = Instant::now();
        loop {
            let asked = self.client.request(reqwest::Method::GET, "/health").send().await;
            if asked.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("it ended at once ({status}): {}", self.printed());
            }
            assert!(start.elapsed() < ms(20_000), "it does not answer");
            tokio::time::sleep(ms(20)).await;
        }
    }

    fn printed(&mut self) -> String {
        let mut all = Vec::new();
        for thread in &mut self.output {
            if let Some(thread) = thread.take() {
                all.extend(thread.join().expect("reading a pipe does not panic"));
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn drained(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is still worth having.
    drop(pipe.read_to_end(&mut bytes));
    bytes
}
