//! A throw-away host: a network namespace, a root and a state directory that no other test and no second run meets.
//!
//! In: the path of the built `lighter`. Out: commands that run there. Dropping the host removes its containers with
//! `lighter` itself, then checks that no process and no mount is left; what is left fails the test and is cleared.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::background::Background;
use crate::namespace::Namespace;
use crate::output::Output;
use crate::process;

/// A host of its own on this machine.
#[derive(Debug)]
pub struct Host {
    lighter: PathBuf,
    name: String,
    directory: PathBuf,
    network: Namespace,
    pub(crate) registries: Mutex<Vec<Background>>,
}

impl Host {
    /// Makes a host that shares the machine's mounts, so that a leaked mount is seen.
    ///
    /// # Panics
    /// Without root, `unshare`, `nsenter` or `ip`.
    #[track_caller]
    pub fn new(lighter: &str) -> Self {
        Self::on(lighter, Namespace::network())
    }

    /// Makes a host with a mount namespace of its own, for tests that change the machine's own mounts.
    ///
    /// # Panics
    /// As [`Host::new`].
    #[track_caller]
    pub fn with_own_mounts(lighter: &str) -> Self {
        Self::on(lighter, Namespace::network_and_mounts())
    }

    #[track_caller]
    fn on(lighter: &str, network: Namespace) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lighter-test-{}-{number}", std::process::id());
        let base =
            std::env::var_os("LIGHTER_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = base.join(&name);
        fs::create_dir_all(directory.join("home")).expect("the temporary directory can be written");
        Self {
            lighter: PathBuf::from(lighter),
            name,
            directory,
            network,
            registries: Mutex::new(Vec::new()),
        }
    }

    /// The host's name, unique on this machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory for the test's own files, removed with the host.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is given to `lighter` as `--root`.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// What is given to `lighter` as `--state`.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The network namespace.
    pub fn network(&self) -> &Namespace {
        &self.network
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.lighter
    }

    /// Runs `lighter` with this host's root and state to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[track_caller]
    pub fn lighter<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        Output::of(self.lighter_command(arguments))
    }

    /// `lighter` with this host's root and state, to be run in a way of the test's own.
    pub fn lighter_command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.command(&self.lighter);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--state")
            .arg(self.state())
            .args(arguments);
        command
    }

    /// Runs `lighter` on a pseudo-terminal of 80 by 24, with `input` typed into it.
    ///
    /// # Panics
    /// As [`Host::lighter`].
    #[track_caller]
    pub fn lighter_on_terminal<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Output {
        let typed = self.write("typed", input);
        let line = format!("stty cols 80 rows 24; {}", self.line(arguments));
        let mut command = self.command("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .stdin(fs::File::open(typed).expect("the file was just written"));
        Output::with_input_set(command)
    }

    /// The command line of [`Host::lighter`] for a shell.
    fn line<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        [
            self.lighter.as_os_str(),
            OsStr::new("--root"),
            self.root().as_os_str(),
            OsStr::new("--state"),
            self.state().as_os_str(),
        ]
        .map(quoted)
        .into_iter()
        .chain(arguments.into_iter().map(|word| quoted(word.as_ref())))
        .collect::<Vec<_>>()
        .join(" ")
    }

    /// Any program, to be run on this host in its directory; the user's home and settings are out of reach.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.network.command(program, &self.directory);
        command
            .env("HOME", self.directory.join("home"))
            .env("XDG_RUNTIME_DIR", self.directory.join("home"))
            .env_remove("DOCKER_CONFIG")
            .env_remove("REGISTRY_AUTH_FILE");
        command
    }

    /// Runs a shell script on this host.
    ///
    /// # Panics
    /// As [`Host::lighter`].
    #[track_caller]
    pub fn shell(&self, script: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-euc", script]);
        Output::of(command)
    }

    /// `ip -j ARGUMENTS`, for example `["addr"]`.
    ///
    /// # Panics
    /// When `ip` fails.
    #[track_caller]
    pub fn ip<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> serde_json::Value {
        let mut command = self.command("ip");
        command.arg("-j").args(arguments);
        Output::of(command).success().json()
    }

    /// `nft -j list ruleset`.
    ///
    /// # Panics
    /// When `nft` fails.
    #[track_caller]
    pub fn nft(&self) -> serde_json::Value {
        let mut command = self.command("nft");
        command.args(["-j", "list", "ruleset"]);
        Output::of(command).success().json()
    }

    /// The body that `curl` gets from `url` on this host, asked again until the server answers (at most 20 s).
    ///
    /// # Panics
    /// When there is no good answer in that time.
    #[track_caller]
    pub fn get(&self, url: &str) -> String {
        crate::eventually(url, 20, || {
            let mut command = self.command("curl");
            command.args(["-sS", "--fail", "--max-time", "5", url]);
            let output = Output::of(command);
            (output.code == 0).then_some(output.stdout)
        })
    }

    /// Writes a file below [`Host::directory`] and yields its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(path);
        let parent = path.parent().expect("the path is below a directory");
        fs::create_dir_all(parent).expect("the host's directory can be written");
        fs::write(&path, content).expect("the host's directory can be written");
        path
    }

    /// Another host on the same wire: this host gets 192.0.2.1/24, the neighbour 192.0.2.2/24.
    ///
    /// # Panics
    /// When `ip` fails.
    #[track_caller]
    pub fn neighbour(&self) -> Namespace {
        let other = Namespace::network();
        self.shell(&format!(
            "ip link add outside type veth peer name eth0 netns {pid}
             ip addr add 192.0.2.1/24 dev outside
             ip link set outside up
             nsenter --net=/proc/{pid}/ns/net sh -euc '
                ip addr add 192.0.2.2/24 dev eth0
                ip link set eth0 up
                ip route add default via 192.0.2.1'",
            pid = other.pid()
        ))
        .success();
        other
    }

    /// Removes every container with `lighter` itself, as a tidy user would.
    fn remove_containers(&self) {
        if !self.state().exists() {
            return;
        }
        let listed = self.lighter_command(["ps", "-aq"]).output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let names: Vec<_> = listed.split_whitespace().collect();
        if !names.is_empty() {
            self.lighter_command(["rm", "-f", "-v"])
                .args(names)
                .output()
                .ok();
        }
    }

    /// Kills what is left and unmounts what is left; yields what that was.
    fn clear(&self) -> Vec<String> {
        let mut left = Vec::new();
        // A monitor takes its container's network down after everybody was told of the end.
        let end = Instant::now() + Duration::from_secs(5);
        while !self.processes().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        // A killed monitor may leave its container, so look again until nothing is found.
        for _ in 0..20 {
            let found = self.processes();
            if found.is_empty() {
                break;
            }
            for survivor in found {
                let cgroups = process::cgroups(survivor.pid);
                process::kill(survivor.pid);
                left.push(format!("process {} {}", survivor.pid, survivor.command));
                std::thread::sleep(Duration::from_millis(20));
                for cgroup in cgroups.iter().filter(|path| names_lighter(path)) {
                    fs::remove_dir(cgroup).ok();
                }
            }
        }
        left.dedup();
        for point in self.mounts() {
            Command::new("umount").arg("-l").arg(&point).output().ok();
            left.push(format!("mount {point}"));
        }
        left
    }

    fn processes(&self) -> Vec<process::Process> {
        process::of_host(&self.name, &self.network.path(), self.network.pid())
    }

    /// The machine's mount points below this host's directory, the deepest first.
    fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        text.lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|point| point.contains(&self.name))
            .map(str::to_owned)
            .collect()
    }
}

/// Whether a cgroup is one that lighter made: never remove another's.
fn names_lighter(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with("lighter"))
}

impl Drop for Host {
    fn drop(&mut self) {
        self.remove_containers();
        if let Ok(registries) = self.registries.get_mut() {
            registries.clear();
        }
        let left = self.clear();
        fs::remove_dir_all(&self.directory).ok();
        assert!(
            left.is_empty() || std::thread::panicking(),
            "{} left behind:\n{}",
            self.name,
            left.join("\n")
        );
    }
}
