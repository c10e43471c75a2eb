//! Words of a command line to a wish: what docker's users write, and what it means.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use clap::{Args as _, Command, FromArgMatches as _};
use engine::ContainerConfig;
use engine::config::*;

use super::{CreationOptions, Wish};
use crate::args::parse_like_a_verb;

/// Parses words as `lighter run` would.
fn options(words: &[&str]) -> CreationOptions {
    let command = CreationOptions::augment_args(Command::new("run"));
    let matches =
        parse_like_a_verb(command, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    CreationOptions::from_arg_matches(&matches).unwrap()
}

fn wish(words: &[&str]) -> anyhow::Result<Wish> {
    let all: Vec<&str> = words.iter().copied().chain(["image"]).collect();
    let options = options(&all);
    options.container.wish(options.command(), options.rm, false)
}

#[track_caller]
fn config(words: &[&str]) -> ContainerConfig {
    wish(words)
        .unwrap_or_else(|error| panic!("{words:?}: {error:#}"))
        .config
}

#[track_caller]
fn refused(words: &[&str]) -> String {
    match wish(words) {
        Ok(wish) => panic!("{words:?} was taken: {:?}", wish.config),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn nothing_asked_is_the_default() {
    assert_eq!(config(&[]), ContainerConfig::default());
}

#[test]
fn options_end_at_the_image() {
    let options = options(&[
        "-it", "--rm", "image", "sh", "-c", "echo $1", "--", "-d", "--name", "x",
    ]);
    assert_eq!(options.image_name(), "image");
    assert_eq!(
        options.command(),
        ["sh", "-c", "echo $1", "--", "-d", "--name", "x"]
    );
    assert!(options.rm && options.container.interactive && options.container.tty);
    assert_eq!(options.container.name, None);
}

#[test]
fn options_are_written_as_in_go() {
    let config = config(&[
        "-eA=1",
        "-e=B=2",
        "--env=C=3",
        "-it=false",
        "--read-only=true",
        "--init=0",
        "--name",
        "a",
        "--name=b",
    ]);
    assert_eq!(config.env, ["A=1", "B=2", "C=3"]);
    assert!(config.open_stdin && !config.tty && config.read_only && !config.init);
    assert_eq!(config.name.as_deref(), Some("b"));
    assert_eq!(
        super::tests::config(&["--memory-swap", "-1"])
            .resources
            .memory_swap,
        Some(-1)
    );
}

#[test]
fn standard_input_closes_with_the_client_that_opened_it() {
    assert!(config(&["-i"]).stdin_once);
    let detached = options(&["-i", "image"])
        .container
        .wish(&[], false, true)
        .unwrap()
        .config;
    assert!(detached.open_stdin && !detached.stdin_once);
    let streams = options(&["-a", "stdout", "-a", "STDERR", "image"])
        .container
        .streams(false)
        .unwrap();
    assert!(!streams.stdin && streams.stdout && streams.stderr);
    assert!(
        options(&["-a", "stdout", "image"])
            .container
            .streams(true)
            .is_err()
    );
    assert!(
        options(&["-a", "output", "image"])
            .container
            .streams(false)
            .is_err()
    );
}

#[test]
fn entrypoint_and_command() {
    assert_eq!(
        config(&["--entrypoint", "/bin/sh"]).entrypoint,
        Some(vec!["/bin/sh".into()])
    );
    assert_eq!(config(&["--entrypoint="]).entrypoint, Some(vec![]));
    assert_eq!(config(&[]).entrypoint, None);
}

fn bind(path: &str, create: bool) -> MountSource {
    MountSource::Bind {
        path: path.into(),
        create,
        propagation: None,
        non_recursive: false,
    }
}

fn volume(name: Option<&str>) -> MountSource {
    MountSource::Volume {
        name: name.map(Into::into),
        no_copy: false,
        subpath: None,
        labels: BTreeMap::new(),
    }
}

#[track_caller]
fn mounted(words: &[&str], source: MountSource, target: &str, read_only: bool) {
    assert_eq!(
        config(words).mounts,
        [Mount {
            source,
            target: target.into(),
            read_only
        }],
        "{words:?}"
    );
}

#[test]
fn short_volumes() {
    mounted(&["-v", "/a:/b"], bind("/a", true), "/b", false);
    mounted(&["-v", "/a:/b:ro"], bind("/a", true), "/b", true);
    mounted(
        &["-v", "/a:/b/../c//d/:rw,cached"],
        bind("/a", true),
        "/c/d",
        false,
    );
    mounted(&["-v", "data:/b"], volume(Some("data")), "/b", false);
    mounted(&["-v", "/b"], volume(None), "/b", false);
    mounted(&["-v", "/b:ro"], volume(None), "/b", true);
    let here = std::env::current_dir().unwrap();
    mounted(
        &["-v", "./x:/b"],
        bind(here.join("x").to_str().unwrap(), true),
        "/b",
        false,
    );
    mounted(
        &["-v", ".:/b"],
        bind(here.to_str().unwrap(), true),
        "/b",
        false,
    );
    let MountSource::Bind { propagation, .. } =
        &config(&["-v", "/a:/b:rshared,ro"]).mounts[0].source
    else {
        panic!()
    };
    assert_eq!(*propagation, Some(Propagation::Rshared));
    let MountSource::Volume { no_copy, .. } = &config(&["-v", "data:/b:nocopy"]).mounts[0].source
    else {
        panic!()
    };
    assert!(no_copy);
}

#[test]
fn long_mounts() {
    mounted(
        &["--mount", "type=bind,source=/a,target=/b"],
        bind("/a", false),
        "/b",
        false,
    );
    mounted(
        &["--mount", "type=bind,src=/a,dst=/b,readonly"],
        bind("/a", false),
        "/b",
        true,
    );
    mounted(
        &[
            "--mount",
            "type=bind,src=/a,dst=/b,ro=false,bind-create-src",
        ],
        bind("/a", true),
        "/b",
        false,
    );
    mounted(
        &["--mount", "source=data,destination=/b,readonly=1"],
        volume(Some("data")),
        "/b",
        true,
    );
    mounted(&["--mount", "target=/b"], volume(None), "/b", false);
    mounted(
        &["--mount", "\"type=bind\",\"src=/a,b\",dst=/b"],
        bind("/a,b", false),
        "/b",
        false,
    );
    let size = MountSource::Tmpfs {
        size: Some(64 << 20),
        mode: Some(0o1770),
        options: vec![],
    };
    mounted(
        &[
            "--mount",
            "type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=1770",
        ],
        size,
        "/b",
        false,
    );
    let options = MountSource::Tmpfs {
        size: Some(1 << 20),
        mode: Some(0o700),
        options: vec!["noexec".into(), "uid=5".into()],
    };
    mounted(
        &["--tmpfs", "/b:size=1m,mode=700,noexec,uid=5"],
        options,
        "/b",
        false,
    );
    mounted(
        &["--tmpfs", "/b"],
        MountSource::Tmpfs {
            size: None,
            mode: None,
            options: vec![],
        },
        "/b",
        false,
    );
}

#[test]
fn mounts_that_are_refused() {
    insta::assert_snapshot!(refused(&["-v", "a/b:/c"]), @r#""a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path"#);
    insta::assert_snapshot!(refused(&["-v", "data:c"]), @"invalid mount path: 'c' mount path must be absolute");
    insta::assert_snapshot!(refused(&["-v", "/a:/"]), @"invalid specification: destination can't be '/'");
    insta::assert_snapshot!(refused(&["-v", "/a:/b:rx"]), @"invalid volume specification: '/a:/b:rx': invalid mode: rx");
    insta::assert_snapshot!(refused(&["-v", "/a:/b:ro:c"]), @"invalid volume specification: '/a:/b:ro:c'");
    insta::assert_snapshot!(refused(&["-v", "/a:/b:nocopy"]), @"invalid mode: nocopy is for volumes, /a is a directory of the host");
    insta::assert_snapshot!(refused(&["-v", "/a:/b", "--tmpfs", "/b/"]), @"Duplicate mount point: /b");
    insta::assert_snapshot!(refused(&["--mount", "type=bind,src=/a"]), @r#"invalid argument "type=bind,src=/a" for "--mount": target is required"#);
    insta::assert_snapshot!(refused(&["--mount", "type=bind,dst=/a"]), @r#"invalid argument "type=bind,dst=/a" for "--mount": source is required for a bind mount"#);
    insta::assert_snapshot!(refused(&["--mount", "type=tmpfs,dst=/a,volume-nocopy"]), @r#"invalid argument "type=tmpfs,dst=/a,volume-nocopy" for "--mount": cannot mix 'volume-*' options with mount type 'tmpfs'"#);
    insta::assert_snapshot!(refused(&["--mount", "type=nfs,dst=/a"]), @r#"invalid argument "type=nfs,dst=/a" for "--mount": invalid mount type "nfs": it must be bind, volume or tmpfs"#);
    insta::assert_snapshot!(refused(&["--mount", "type=bind,src=/a,dst=/b,bind-propagation=rw,exec"]), @r#"invalid argument "type=bind,src=/a,dst=/b,bind-propagation=rw,exec" for "--mount": invalid propagation value: rw"#);
    insta::assert_snapshot!(refused(&["--mount", "dst=/b,colour=red"]), @r#"invalid argument "dst=/b,colour=red" for "--mount": invalid value for colour: red"#);
    insta::assert_snapshot!(refused(&["--tmpfs", "/b:bogus=1"]), @r#"invalid tmpfs option ["bogus=1"]"#);
    insta::assert_snapshot!(refused(&["--volume-driver", "nfs"]), @r#"no volume driver "nfs": only 'local', which is built in"#);
}

#[track_caller]
fn published(text: &str, expected: &[(&str, &str, u16, &str)]) {
    let shown: Vec<_> = config(&["-p", text])
        .ports
        .iter()
        .map(|port| {
            let host = match (port.host_port, port.host_port_end) {
                (Some(first), Some(last)) => format!("{first}-{last}"),
                (first, _) => first.map(|port| port.to_string()).unwrap_or_default(),
            };
            (
                port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                host,
                port.container_port,
                port.protocol.word(),
            )
        })
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|(ip, host, port, protocol)| (ip.as_str(), host.as_str(), *port, *protocol))
        .collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn ports() {
    published("80", &[("", "", 80, "tcp")]);
    published("8080:80", &[("", "8080", 80, "tcp")]);
    published("8080:80/udp", &[("", "8080", 80, "udp")]);
    published("127.0.0.1:8080:80", &[("127.0.0.1", "8080", 80, "tcp")]);
    published("127.0.0.1::80", &[("127.0.0.1", "", 80, "tcp")]);
    published("[::1]:8080:80/sctp", &[("::1", "8080", 80, "sctp")]);
    published("[::1]::80", &[("::1", "", 80, "tcp")]);
    published(
        "8000-8001:80-81",
        &[("", "8000", 80, "tcp"), ("", "8001", 81, "tcp")],
    );
    published("8000-8010:80", &[("", "8000-8010", 80, "tcp")]);
    published("80-81", &[("", "", 80, "tcp"), ("", "", 81, "tcp")]);
    published(
        "target=80,published=8080,protocol=udp",
        &[("", "8080", 80, "udp")],
    );
    let exposed = config(&["--expose", "80", "--expose", "90-91/udp", "-P"]);
    assert!(exposed.publish_all);
    let all: Vec<_> = exposed
        .exposed
        .iter()
        .map(|port| (port.port, port.protocol.word()))
        .collect();
    assert_eq!(all, [(80, "tcp"), (90, "udp"), (91, "udp")]);
}

#[test]
fn ports_that_are_refused() {
    for text in [
        "",
        "0",
        "65536",
        "80:",
        "a:80",
        "80:80:80",
        "1.2.3.4.5:80:80",
        "80-79",
        "80-82:80-81",
        "80/icmp",
        "+80",
        "-1:80",
        "8080:80/",
        "::1:80:80x",
    ] {
        let error = wish(&["-p", text])
            .err()
            .unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(
            format!("{error:#}").contains("--publish"),
            "{text:?}: {error:#}"
        );
    }
}

#[test]
fn environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "\u{feff}# comment\n\n  A=1\nB=with = sign \nLIGHTER_UNSET_HERE\nPATH\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let config = config(&[
        "--env-file",
        path,
        "-e",
        "C=3",
        "-e",
        "PATH",
        "-e",
        "LIGHTER_UNSET_HERE",
        "--unsetenv",
        "D",
    ]);
    let here = format!("PATH={}", std::env::var("PATH").unwrap());
    assert_eq!(
        config.env,
        [
            "D",
            "A=1",
            "B=with = sign ",
            &here,
            "C=3",
            &here,
            "LIGHTER_UNSET_HERE"
        ]
    );

    std::fs::write(file.path(), "A B=1\n").unwrap();
    assert!(refused(&["--env-file", path]).contains("variable 'A B' contains whitespaces"));
    std::fs::write(file.path(), "=1\n").unwrap();
    assert!(refused(&["--env-file", path]).contains("no variable name on line '=1'"));
    assert!(refused(&["-e", "=x"]).contains("invalid environment variable"));
    assert!(refused(&["--env-file", "/nonexistent"]).contains("/nonexistent"));
}

#[test]
fn labels() {
    let labels = config(&["-l", "a=1", "--label", "b", "-l", "a=2", "-l", "c=x=y"]).labels;
    assert_eq!(
        labels.into_iter().collect::<Vec<_>>(),
        [
            ("a".into(), "2".into()),
            ("b".into(), String::new()),
            ("c".into(), "x=y".to_string())
        ]
    );
    assert_eq!(
        refused(&["-l", "=x"]),
        "invalid label \"=x\": the key is empty"
    );
}

#[test]
fn networks() {
    assert_eq!(config(&["--net", "none"]).network, NetworkMode::None);
    assert_eq!(config(&["--network", "host"]).network, NetworkMode::Host);
    assert_eq!(
        config(&["--network", "container:web"]).network,
        NetworkMode::Container("web".into())
    );
    let plain = |name: &str| NetworkAttachment {
        network: name.into(),
        ..NetworkAttachment::default()
    };
    assert_eq!(
        config(&["--network", "default"]).networks,
        [plain("bridge")]
    );
    assert_eq!(
        config(&["--network", "a", "--network", "b"]).networks,
        [plain("a"), plain("b")]
    );
    let full = NetworkAttachment {
        network: "a".into(),
        aliases: vec!["x".into(), "y".into()],
        ipv4: Some("10.0.0.5".parse().unwrap()),
        mac: Some("02:42:ac:11:00:02".into()),
        gateway_priority: 3,
        ..NetworkAttachment::default()
    };
    assert_eq!(
        config(&[
            "--network",
            "name=a,alias=x,alias=y,ip=10.0.0.5,mac-address=02-42-AC-11-00-02,gw-priority=3"
        ])
        .networks,
        [full]
    );
    let alias = config(&[
        "--network",
        "a",
        "--network",
        "b",
        "--network-alias",
        "x",
        "--ip",
        "10.0.0.5",
    ])
    .networks;
    assert_eq!(
        (
            alias[0].aliases.as_slice(),
            alias[0].ipv4.is_some(),
            alias[1].ipv4
        ),
        (&["x".to_string()][..], true, None)
    );
    assert_eq!(
        config(&["--mac-address", "02:42:ac:11:00:02"]).networks[0].network,
        "bridge"
    );
}

#[test]
fn networks_that_are_refused() {
    insta::assert_snapshot!(refused(&["--network", "a", "--network", "host"]), @"network host cannot be combined with others");
    insta::assert_snapshot!(refused(&["--network", "container:"]), @"invalid container format container:<name|id>");
    insta::assert_snapshot!(refused(&["--network", "host", "--ip", "1.2.3.4"]), @"conflicting options: an address, alias or link cannot be given to a container with the host's network");
    insta::assert_snapshot!(refused(&["--network", "container:a", "--hostname", "b"]), @"conflicting options: --hostname, --dns and --add-host cannot be used with another container's network");
    insta::assert_snapshot!(refused(&["--network", "alias=x"]), @r#"invalid argument "alias=x" for "--network": name is required"#);
    insta::assert_snapshot!(refused(&["--mac-address", "1:2:3"]), @"1:2:3 is not a valid mac address");
    insta::assert_snapshot!(refused(&["--add-host", "a"]), @r#"bad format for add-host: "a""#);
    insta::assert_snapshot!(refused(&["--add-host", "a:b"]), @r#"invalid IP address in add-host: "b""#);
}

#[test]
fn names() {
    let config = config(&[
        "--add-host",
        "a:1.2.3.4",
        "--add-host",
        "b=[::1]",
        "--add-host",
        "c:host-gateway",
        "--dns",
        "9.9.9.9",
        "--dns-opt",
        "ndots:2",
        "--dns-search",
        "x",
        "-h",
        "me",
    ]);
    let hosts: Vec<_> = config
        .extra_hosts
        .iter()
        .map(|host| format!("{} {}", host.name, host.address))
        .collect();
    assert_eq!(hosts, ["a 1.2.3.4", "b ::1", "c host-gateway"]);
    assert_eq!(config.dns.servers, ["9.9.9.9".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        (config.dns.options.as_slice(), config.dns.search.as_slice()),
        (&["ndots:2".to_string()][..], &["x".to_string()][..])
    );
    assert_eq!(config.hostname.as_deref(), Some("me"));
}

#[test]
fn limits() {
    let given = config(&[
        "-m",
        "64m",
        "--memory-swap",
        "128m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "1.5",
        "-c",
        "512",
        "--cpuset-cpus",
        "0-1",
        "--pids-limit",
        "-1",
        "--shm-size",
        "1g",
        "--oom-score-adj",
        "-500",
        "--ulimit",
        "nofile=10:20",
        "--ulimit",
        "core=-1",
        "--device-read-bps",
        "/dev/sda:1mb",
        "--blkio-weight",
        "300",
    ])
    .resources;
    let expected = Resources {
        memory: Some(64 << 20),
        memory_swap: Some(128 << 20),
        memory_reservation: Some(32 << 20),
        nano_cpus: Some(1_500_000_000),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0-1".into()),
        pids: Some(-1),
        shm_size: Some(1 << 30),
        oom_score_adj: Some(-500),
        ulimits: vec![
            Ulimit {
                name: "nofile".into(),
                soft: 10,
                hard: 20,
            },
            Ulimit {
                name: "core".into(),
                soft: -1,
                hard: -1,
            },
        ],
        device_read_bps: vec![("/dev/sda".into(), 1 << 20)],
        blkio_weight: Some(300),
        ..Resources::default()
    };
    assert_eq!(given, expected);
    assert_eq!(
        config(&["--cpus", ".5"]).resources.nano_cpus,
        Some(500_000_000)
    );
    assert_eq!(
        config(&["--cpus", "0.000000001"]).resources.nano_cpus,
        Some(1)
    );
}

#[test]
fn limits_that_are_refused() {
    insta::assert_snapshot!(refused(&["-m", "5x"]), @r#"invalid argument "5x" for "-m, --memory": invalid size: '5x'"#);
    insta::assert_snapshot!(refused(&["--cpus", "1e3"]), @r#"invalid argument "1e3" for "--cpus": failed to parse 1e3 as a rational number"#);
    insta::assert_snapshot!(refused(&["--cpus", "1", "--cpu-quota", "5"]), @"conflicting options: --cpus cannot be used with --cpu-period or --cpu-quota");
    insta::assert_snapshot!(refused(&["--ulimit", "files=1"]), @"invalid ulimit type: files");
    insta::assert_snapshot!(refused(&["--ulimit", "nofile=2:1"]), @"ulimit soft limit must be less than or equal to hard limit: 2 > 1");
    insta::assert_snapshot!(refused(&["--oom-score-adj", "2000"]), @"invalid value 2000, range for oom score adj is [-1000, 1000]");
    insta::assert_snapshot!(refused(&["--memory-swappiness", "101"]), @"invalid value: 101. Valid memory swappiness range is 0-100");
    insta::assert_snapshot!(refused(&["--device-write-bps", "sda:1"]), @r#"bad format for device path: sda:1 for "--device-write-bps""#);
}

#[test]
fn devices() {
    let shown: Vec<_> = config(&[
        "--device",
        "/dev/fuse",
        "--device",
        "/dev/a:/dev/b",
        "--device",
        "/dev/a:r",
        "--device",
        "/dev/a:/dev/c:rw",
        "--device-cgroup-rule",
        "c 42:* rmw",
    ])
    .devices
    .iter()
    .map(|device| {
        format!(
            "{} {} {}",
            device.host.display(),
            device.container,
            device.permissions
        )
    })
    .collect();
    assert_eq!(
        shown,
        [
            "/dev/fuse /dev/fuse rwm",
            "/dev/a /dev/b rwm",
            "/dev/a /dev/a r",
            "/dev/a /dev/c rw"
        ]
    );
    assert_eq!(
        refused(&["--device", "/dev/a:/dev/b:x"]),
        "invalid device specification: /dev/a:/dev/b:x"
    );
    assert_eq!(
        refused(&["--device-cgroup-rule", "c 42 rwm"]),
        "invalid device cgroup format 'c 42 rwm'"
    );
}

#[test]
fn isolation() {
    let config = config(&[
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop=ALL",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--group-add",
        "5",
        "--pid",
        "host",
        "--ipc=container:x",
        "--cgroupns",
        "private",
        "--userns",
        "0:100000:65536",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        "seccomp=unconfined",
    ]);
    assert_eq!(
        (config.cap_add.as_slice(), config.cap_drop.as_slice()),
        (&["NET_ADMIN".to_string()][..], &["ALL".to_string()][..])
    );
    assert_eq!(config.pid, NamespaceMode::Host);
    assert_eq!(config.ipc, NamespaceMode::Container("x".into()));
    assert_eq!(
        config.userns,
        UserNamespace::Mapped {
            uids: vec![(0, 100_000, 65_536)],
            gids: vec![(0, 100_000, 65_536)]
        }
    );
    assert_eq!(
        config.security_opt,
        ["no-new-privileges", "seccomp=unconfined"]
    );
    assert_eq!(
        refused(&["--pid", "hosts"]),
        "invalid argument \"hosts\" for \"--pid\": it must be one of private, host, container"
    );
    assert_eq!(
        refused(&["--uts", "host", "-h", "x"]),
        "conflicting options: hostname and the UTS mode"
    );
    assert!(
        refused(&["--security-opt", "seccomp=/nonexistent"])
            .starts_with("opening seccomp profile (/nonexistent) failed")
    );
    assert!(refused(&["--security-opt", "colour=red"]).starts_with("invalid --security-opt"));
}

#[test]
fn life() {
    let config = config(&[
        "--restart",
        "on-failure:3",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "5",
        "--health-cmd",
        "true",
        "--health-interval",
        "1s",
        "--health-retries",
        "2",
        "--log-opt",
        "max-size=1m",
        "--log-opt",
        "max-file=2",
    ]);
    assert_eq!(
        config.restart,
        RestartPolicy::OnFailure {
            max_retries: Some(3)
        }
    );
    assert_eq!(
        (config.stop_signal.as_deref(), config.stop_timeout),
        (Some("INT"), Some(Duration::from_secs(5)))
    );
    let check = Healthcheck {
        test: Some(HealthTest::Shell("true".into())),
        interval: Some(Duration::from_secs(1)),
        retries: Some(2),
        ..Healthcheck::default()
    };
    assert_eq!(config.healthcheck, Some(check));
    assert_eq!(
        config.log,
        LogConfig {
            driver: LogDriver::JsonFile,
            max_size: Some(1 << 20),
            max_file: Some(2),
            ..LogConfig::default()
        }
    );
    let off = super::tests::config(&["--no-healthcheck", "--log-driver", "none"]);
    assert_eq!(
        (off.healthcheck.unwrap().test, off.log.driver),
        (Some(HealthTest::None), LogDriver::None)
    );
}

#[test]
fn life_that_is_refused() {
    insta::assert_snapshot!(refused(&["--restart", "sometimes"]), @"invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'");
    insta::assert_snapshot!(refused(&["--restart", "always:3"]), @"invalid restart policy: maximum retry count can only be used with 'on-failure'");
    insta::assert_snapshot!(refused(&["--rm", "--restart", "always"]), @"conflicting options: cannot specify both --restart and --rm");
    insta::assert_snapshot!(refused(&["--no-healthcheck", "--health-cmd", "x"]), @"conflicting options: --no-healthcheck conflicts with --health-* options");
    insta::assert_snapshot!(refused(&["--health-interval", "5"]), @r#"invalid argument "5" for "--health-interval": time: invalid duration "5""#);
    insta::assert_snapshot!(refused(&["--log-driver", "syslog"]), @"logger: no log driver named 'syslog' is registered: there are json-file and none");
    insta::assert_snapshot!(refused(&["--log-opt", "colour=red"]), @"unknown log opt 'colour=red' for json-file log driver: there are max-size, max-file, labels and env");
    insta::assert_snapshot!(refused(&["--gpus", "all"]), @"--gpus needs a driver's own hooks, which lighter does not run: hand the devices in with --device");
    insta::assert_snapshot!(refused(&["--runtime", "kata"]), @"unknown or invalid runtime name: kata (only 'lighter', which is built in)");
}

#[test]
fn what_has_no_effect_is_said() {
    let warnings = wish(&[
        "--kernel-memory",
        "5m",
        "--disable-content-trust",
        "--isolation",
        "process",
    ])
    .unwrap()
    .warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[1].starts_with("--kernel-memory is ignored"));
}
