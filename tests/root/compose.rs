//! Compose on the real kernel: dependencies, health, changes, secrets, logs, exit codes. Small applications, one subject
//! each; the big one is in `spine.rs`.

use std::process::Command;
use std::time::Instant;

use support::{Host, Output};

use crate::host;

/// A host with a registry and `compose.yaml` in a directory named `app`.
pub struct App {
    pub host: Host,
}

impl App {
    pub fn new(text: &str) -> Option<Self> {
        let host = host()?;
        host.fixtures();
        std::fs::create_dir_all(host.directory().join("app")).expect("a directory");
        let app = Self { host };
        app.write("compose.yaml", text);
        Some(app)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.host.directory().join("app").join(name), text).expect("written");
    }

    pub fn compose(&self, arguments: &[&str]) -> Output {
        Output::of(self.command(arguments))
    }

    /// `lighter compose`, to be run in a way of the test's own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.lighter_command(["compose"]);
        command
            .args(arguments)
            .current_dir(self.host.directory().join("app"));
        command
    }

    /// What `compose exec` prints.
    #[track_caller]
    pub fn inside(&self, service: &str, command: &str) -> String {
        self.compose(&["exec", "-T", service, "sh", "-c", command])
            .success()
            .stdout
            .trim()
            .to_owned()
    }

    #[track_caller]
    pub fn down(&self) {
        self.compose(&["down", "-v", "-t", "0", "--remove-orphans"])
            .success();
        let left = self.compose(&["ps", "-a", "-q"]).success().stdout;
        assert_eq!(left, "", "down left containers");
    }

    #[track_caller]
    pub fn ids(&self) -> String {
        self.compose(&["ps", "-a", "-q"]).success().stdout
    }
}

#[test]
fn a_dependent_waits_for_health_and_for_completion() {
    let Some(app) = App::new(
        "
services:
  slow:
    image: localhost:5000/busybox
    command: sh -c 'sleep 1; touch /ready; exec sleep 1000'
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 50}
  once:
    image: localhost:5000/busybox
    command: sh -c 'echo done > /data/once'
    volumes: ['data:/data']
  last:
    image: localhost:5000/busybox
    command: sleep 1000
    volumes: ['data:/data']
    depends_on:
      slow: {condition: service_healthy}
      once: {condition: service_completed_successfully}
volumes: {data: }
",
    ) else {
        return;
    };
    let began = Instant::now();
    app.compose(&["up", "-d"]).success();
    assert!(
        began.elapsed().as_millis() >= 1000,
        "nobody waited for slow"
    );
    assert_eq!(app.inside("last", "cat /data/once"), "done");
    app.down();
}

#[test]
fn an_unhealthy_dependency_fails_with_the_words_of_its_check() {
    let Some(app) = App::new(
        "
services:
  db:
    image: localhost:5000/busybox
    command: sleep 1000
    healthcheck: {test: 'echo the disk is full; exit 1', interval: 100ms, retries: 2}
  web:
    image: localhost:5000/busybox
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
",
    ) else {
        return;
    };
    let output = app.compose(&["up", "-d"]);
    assert_ne!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("the disk is full") && output.stderr.contains("exited with 1"),
        "{}",
        output.stderr
    );
    let listing = app
        .compose(&["ps", "-a", "--format", "{{.Service}} {{.State}}"])
        .success()
        .stdout;
    assert!(listing.contains("web created"), "{listing}");
    app.down();
}

#[test]
fn up_with_wait_takes_a_finished_task_for_done_and_a_failed_one_for_failed() {
    let text = "
services:
  server: {image: localhost:5000/busybox, command: sleep 1000}
  task: {image: localhost:5000/busybox, command: 'sh -c \"exit CODE\"'}
";
    let Some(app) = App::new(&text.replace("CODE", "0")) else {
        return;
    };
    app.compose(&["up", "--wait"]).success();
    app.write("compose.yaml", &text.replace("CODE", "3"));
    let output = app.compose(&["up", "--wait"]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("exited with 3"), "{}", output.stderr);
    app.down();
}

#[test]
fn a_change_is_planned_made_and_then_gone_from_the_plan() {
    let text = "
services:
  a: {image: localhost:5000/busybox, command: sleep 1000, environment: {X: '1'}, stop_grace_period: 0s}
  b: {image: localhost:5000/busybox, command: sleep 1000}
";
    let Some(app) = App::new(text) else { return };
    assert_eq!(app.compose(&["plan", "--exit-code"]).code, 2);
    assert_eq!(app.ids(), "", "a plan makes nothing");
    app.compose(&["up", "-d"]).success();
    let output = app.compose(&["plan", "--exit-code"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let before = app.ids();
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.ids(), before, "an unchanged file recreated something");

    app.write("compose.yaml", &text.replace("X: '1'", "X: '2'"));
    let plan = app.compose(&["plan"]).success().stdout;
    assert!(
        plan.contains("environment.X \"1\" -> \"2\"  compose.yaml:3:76"),
        "{plan}"
    );
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.inside("a", "echo $X"), "2");
    let same = before.lines().filter(|id| app.ids().contains(*id)).count();
    assert_eq!(same, 1, "only a is made anew");
    app.down();
}

#[test]
fn secrets_and_configs_are_files_with_owner_and_mode_and_changes_show() {
    let Some(app) = App::new(
        "
services:
  a:
    image: localhost:5000/busybox
    command: sleep 1000
    stop_grace_period: 0s
    secrets:
      - file
      - {source: variable, target: token, uid: '7', gid: '8', mode: 0400}
    configs: [{source: inline, target: /etc/app.conf}]
secrets:
  file: {file: ./secret.txt}
  variable: {environment: HOME}
configs:
  inline: {content: 'key = value'}
",
    ) else {
        return;
    };
    app.write("secret.txt", "first");
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.inside("a", "cat /run/secrets/file"), "first");
    assert_eq!(
        app.inside("a", "stat -c '%u %g %a' /run/secrets/token"),
        "7 8 400"
    );
    assert_eq!(
        app.inside("a", "stat -c '%u %g %a' /run/secrets/file"),
        "0 0 444"
    );
    assert_eq!(app.inside("a", "cat /etc/app.conf"), "key = value");
    app.write("secret.txt", "second");
    assert_eq!(app.compose(&["plan", "--exit-code"]).code, 2);
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.inside("a", "cat /run/secrets/file"), "second");
    app.down();
}

#[test]
fn services_are_known_by_name_alias_and_link() {
    let Some(app) = App::new(
        "
services:
  server:
    image: localhost:5000/busybox
    command: sleep 1000
    networks: {back: {aliases: [other]}}
  client:
    image: localhost:5000/busybox
    command: sleep 1000
    networks: [back]
    links: ['server:linked']
    extra_hosts: ['somewhere=10.1.2.3']
networks: {back: }
",
    ) else {
        return;
    };
    app.compose(&["up", "-d"]).success();
    let address = app.inside("server", "hostname -i");
    for (from, name, known) in [
        ("client", "server", true),
        ("client", "other", true),
        ("client", "linked", true),
        ("server", "linked", false),
    ] {
        let line = format!("nslookup {name} 127.0.0.11 || :");
        let answer = app.inside(from, &line);
        assert_eq!(
            answer.contains(&format!("Address: {address}")),
            known,
            "{from} asks for {name}: {answer}"
        );
    }
    assert!(app.inside("client", "cat /etc/hosts").contains("10.1.2.3"));
    app.down();
}

#[test]
fn scale_adds_and_removes_the_highest() {
    let Some(app) = App::new(
        "services: {a: {image: localhost:5000/busybox, command: sleep 1000, stop_grace_period: 0s}}\n",
    ) else {
        return;
    };
    let names = || {
        app.compose(&["ps", "--format", "{{.Name}}"])
            .success()
            .stdout
    };
    app.compose(&["up", "-d", "--scale", "a=3"]).success();
    assert_eq!(names(), "app-a-1\napp-a-2\napp-a-3\n");
    app.compose(&["scale", "a=1"]).success();
    assert_eq!(names(), "app-a-1\n");
    app.down();
}

#[test]
fn exit_codes_come_through() {
    let Some(app) = App::new(
        "
services:
  test: {image: localhost:5000/busybox, command: 'sh -c \"sleep 0.3; exit 5\"'}
  server: {image: localhost:5000/busybox, command: sleep 1000, stop_grace_period: 0s}
",
    ) else {
        return;
    };
    let output = app.compose(&["up", "--exit-code-from", "test"]);
    assert_eq!(output.code, 5, "{}", output.stderr);
    app.compose(&["start", "server"]).success();
    assert_eq!(
        app.compose(&["exec", "-T", "server", "sh", "-c", "exit 9"])
            .code,
        9
    );
    assert_eq!(
        app.compose(&["run", "--rm", "-T", "server", "sh", "-c", "exit 11"])
            .code,
        11
    );
    assert_eq!(app.compose(&["exec", "-T", "servr", "true"]).code, 1);
    app.down();
}

#[test]
fn logs_are_in_the_order_of_time_and_whole() {
    let Some(app) = App::new(
        "
services:
  a: {image: localhost:5000/busybox, command: 'sh -c \"for i in $$(seq 2000); do echo $$i; done\"'}
  b: {image: localhost:5000/busybox, command: 'sh -c \"for i in $$(seq 2000); do echo $$i; done; printf end\"'}
",
    ) else {
        return;
    };
    app.compose(&["up"]).success();
    let logs = app.compose(&["logs", "-t", "--no-color"]).success().stdout;
    let lines: Vec<&str> = logs.lines().collect();
    assert_eq!(lines.len(), 4001, "lines were lost");
    let stamps: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert!(stamps.is_sorted(), "the lines are not in the order of time");
    let tail = app
        .compose(&["logs", "--tail", "1", "--no-log-prefix", "b"])
        .success()
        .stdout;
    assert_eq!(tail, "end\n");
    app.down();
}

#[test]
fn a_project_is_found_by_its_name_without_its_files() {
    let Some(app) =
        App::new("services: {a: {image: localhost:5000/busybox, command: sleep 1000}}\n")
    else {
        return;
    };
    app.compose(&["up", "-d"]).success();
    std::fs::remove_file(app.host.directory().join("app/compose.yaml")).expect("removed");
    let listing = app.compose(&["ls"]).success().stdout;
    assert!(
        listing.contains("app") && listing.contains("running(1)"),
        "{listing}"
    );
    app.compose(&["-p", "app", "down", "-t", "0"]).success();
    assert_eq!(app.compose(&["ls", "-a", "-q"]).success().stdout, "");
}

#[test]
fn what_is_broken_makes_nothing() {
    let Some(app) = App::new("services: {a: {image: localhost:5000/busybox, comand: sleep 1}}\n")
    else {
        return;
    };
    let output = app.compose(&["up", "-d"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("compose.yaml:1:47") && output.stderr.contains("command"),
        "{}",
        output.stderr
    );
    app.write(
        "compose.yaml",
        "services: {a: {image: localhost:5000/busybox, gpus: all}}\n",
    );
    let output = app.compose(&["up", "-d"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("services.a.gpus cannot be honoured"),
        "{}",
        output.stderr
    );
    assert_eq!(app.host.lighter(["ps", "-a", "-q"]).success().stdout, "");
}
