//! Servers in processes of their own, and the load that they are put under.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clicklog::clock::Clock;
use clicklog::load::{Limit, Plan, Report};
use clicklog::shutdown::Shutdown;

use super::bare::{COMMAND, WAYS};

/// A server.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    child: Child,
    pub(crate) address: SocketAddr,
    folder: Option<PathBuf>,
}

/// What a run cost the server.
pub(crate) struct Cost {
    pub(crate) report: Report,
    /// Processor time a request, over all threads of the server.
    pub(crate) cpu_us: f64,
}

/// On processor 0.
fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg("0").arg(program).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn address_after(child: &mut Child, what: &str) -> SocketAddr {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(address) = line.trim().strip_prefix(what) {
            break address
                .trim()
                .trim_start_matches("https://")
                .trim_start_matches("http://")
                .parse()
                .unwrap();
        }
    };
    // Whoever prints more must not meet a closed pipe.
    std::thread::spawn(move || lines.for_each(drop));
    address
}

/// An empty one.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data").join(name);
    let _absent = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

impl Contender {
    pub(crate) fn bare() -> Self {
        let mut command = pinned(std::env::current_exe().unwrap());
        Self::bare_by(&mut command, "hyper, constant 302", 1, WAYS[0])
    }

    /// With two workers on both processors, which get their connections this way.
    pub(crate) fn bare_on_both(way: &'static str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self::bare_by(command.stdout(Stdio::piped()), way, 2, way)
    }

    fn bare_by(command: &mut Command, name: &'static str, workers: u32, way: &str) -> Self {
        let mut child = command.args([COMMAND, &workers.to_string(), way]).spawn().unwrap();
        let address = address_after(&mut child, "listening");
        Self { name, child, address, folder: None }
    }

    /// With further settings, as environment variables.
    pub(crate) fn clicklog(settings: &[(&str, &str)]) -> Self {
        let folder = folder("serve");
        let mut contender = Self::clicklog_at(&folder, settings);
        contender.folder = Some(folder);
        contender
    }

    /// In a folder that outlives it.
    pub(crate) fn clicklog_at(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = pinned(env!("CARGO_BIN_EXE_clicklog"));
        command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0"]);
        Self::clicklog_by(&mut command, settings)
    }

    /// On a socket that stays open when it ends, as systemd hands one over. It may not listen yet.
    pub(crate) fn clicklog_on(socket: &TcpListener, folder: &Path) -> Self {
        let address = socket.local_addr().unwrap();
        let shell = "export LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 0</dev/null";
        let mut command = pinned("sh");
        command.current_dir(folder).args(["-c", shell, env!("CARGO_BIN_EXE_clicklog"), "serve"]);
        command.args(["--listen", &address.to_string(), "--admin", "127.0.0.1:0"]);
        command.env("CLICKLOG_EDGE__WORKERS", "1").env("CLICKLOG_EDGE__TRUSTED_PROXIES", "127.0.0.0/8");
        command.env("CLICKLOG_STORE__RESERVE", "0B").env("CLICKLOG_STORE__LOW_FREE", "0B");
        command.env("CLICKLOG_STORE__CRITICAL_FREE", "0B").env("LISTEN_FDS", "1");
        command.stdin(OwnedFd::from(socket.try_clone().unwrap())).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        Self { name: "clicklog, recording", child, address, folder: None }
    }

    /// Ends it where it stands.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    fn clicklog_by(command: &mut Command, settings: &[(&str, &str)]) -> Self {
        command.env("CLICKLOG_ADMIN__LISTEN", "127.0.0.1:0");
        // The visitors of the load say their addresses as a proxy would.
        command.env("CLICKLOG_EDGE__WORKERS", "1").env("CLICKLOG_EDGE__TRUSTED_PROXIES", "127.0.0.0/8");
        command.env("CLICKLOG_STORE__LOW_FREE", "0B").env("CLICKLOG_STORE__CRITICAL_FREE", "0B");
        command.env("CLICKLOG_STORE__RESERVE", "0B").envs(settings.iter().copied());
        let mut child = command.spawn().unwrap();
        let address = address_after(&mut child, "visitors");
        Self { name: "clicklog, recording", child, address, folder: None }
    }

    /// With TLS, by the certificate in this folder.
    pub(crate) fn clicklog_tls(place: &Path) -> Self {
        let folder = folder("serve");
        let [certificate, key] =
            ["first.crt", "first.key"].map(|name| place.join(name).display().to_string());
        let settings = folder.join("clicklog.toml");
        let tls = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
        let text = format!("[edge]\nworkers = 1\nlisten = [{{ address = \"127.0.0.1:0\", {tls} }}]\n");
        fs::write(&settings, text).unwrap();
        let mut command = pinned(env!("CARGO_BIN_EXE_clicklog"));
        command.current_dir(&folder).args(["serve", "--config"]).arg(&settings);
        let mut contender = Self::clicklog_by(&mut command, &[]);
        contender.folder = Some(folder);
        contender
    }

    /// Nothing if it is not installed.
    pub(crate) fn nginx() -> Option<Self> {
        let folder = folder("nginx");
        Self::nginx_in(folder, include_str!("../../ops/load/nginx.conf"))
    }

    /// With TLS, by the certificate in this folder.
    pub(crate) fn nginx_tls(place: &Path) -> Option<Self> {
        let folder = folder("nginx");
        for name in ["first.crt", "first.key"] {
            fs::copy(place.join(name), folder.join(name)).unwrap();
        }
        Self::nginx_in(folder, include_str!("../../ops/load/nginx-tls.conf"))
    }

    fn nginx_in(folder: PathBuf, template: &str) -> Option<Self> {
        Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .ok()
            .filter(|status| status.success())?;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let conf =
            template.replace("{folder}", folder.to_str().unwrap()).replace("{address}", &address.to_string());
        fs::write(folder.join("nginx.conf"), conf).unwrap();
        let child = pinned("nginx").arg("-c").arg(folder.join("nginx.conf")).spawn().unwrap();
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { name: "nginx, JSON access log", child, address, folder: Some(folder) })
    }

    pub(crate) fn plan(&self) -> Plan {
        let target = "/c/demo?zoneid=4821337&bannerid=99201&visitor_id={visitor}-{random}&cost=0.0123";
        let mut plan = Plan::new(vec![format!("http://{}{target}", self.address).parse().unwrap()]);
        plan.cpu = Some(1);
        plan.limit = Limit::Time(Duration::from_secs(6));
        plan
    }

    /// Clicks, which are answered with redirects.
    pub(crate) fn run(&self, plan: &Plan) -> Cost {
        self.run_for(plan, 3)
    }

    /// Requests that are all answered with this class of statuses.
    pub(crate) fn run_for(&self, plan: &Plan, class: u16) -> Cost {
        let before = self.cpu_ns();
        let report = clicklog::load::run(plan, &Clock::System, &Shutdown::default()).unwrap();
        // The warm-up costs the server too, and is not in the report's count: it is as long a part of the time.
        let cpu_ns = self.cpu_ns() - before;
        let counted = report.elapsed.as_secs_f64() / (report.elapsed + plan.warm_up).as_secs_f64();
        let cpu_us = cpu_ns * counted / 1e3 / report.sent.max(1) as f64;
        assert_eq!(report.class(class), report.sent, "not all were answered with {class}xx: {report:?}");
        Cost { report, cpu_us }
    }

    /// Processor time of all threads of the server, of nginx's only worker too.
    pub(crate) fn cpu_ns(&self) -> f64 {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pids = children.split_whitespace().map(str::to_owned).chain([pid.to_string()]);
        let tasks = pids.filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten().flatten();
        let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        times.filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok()).sum()
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // In order, so that nginx takes its worker along.
        let pid = self.child.id().to_string();
        let _told = Command::new("kill").args(["-TERM", &pid]).status();
        let _ended = self.child.wait();
        if let Some(folder) = &self.folder {
            let _left = fs::remove_dir_all(folder);
        }
    }
}
