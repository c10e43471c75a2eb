//! Compose files on the command line: what is said about broken ones, and what `config` prints.
//!
//! Each `vendor-fixtures/compose/broken/NAME.yaml` has one mistake (a few have more); `NAME.txt` beside it is all that
//! lighter says about it. `UPDATE_GOLDEN=1 cargo test --test it` writes the texts anew; read the difference.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/compose/broken")
}

/// `lighter compose ...` without any variable of ours, on an empty host.
fn compose(directory: &Path, host: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lighter"))
        .env_clear()
        .arg("--root")
        .arg(host.join("root"))
        .arg("--state")
        .arg(host.join("state"))
        .arg("compose")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("lighter runs")
}

#[test]
fn every_broken_file_gets_its_message() {
    let host = tempfile::tempdir().expect("a directory");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory())
        .expect("the broken files are there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 100, "only {} broken files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let output = compose(
            &directory(),
            host.path(),
            &["-f", &name, "config", "--quiet"],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).expect("the golden text is written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expected || output.status.code() != Some(1) || !output.stdout.is_empty() {
            wrong.push(format!(
                "{name} (exit {:?})\n--- expected\n{expected}--- said\n{said}",
                output.status.code()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} messages differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn config_output_loads_again_to_itself() {
    let host = tempfile::tempdir().expect("a directory");
    let here = host.path();
    let text = r#"
services:
  web:
    image: nginx:${TAG:-1}
    command: sh -c 'echo "$$HOME"'
    ports: ["8080:80", "127.0.0.1:53:53/udp"]
    environment: {PASSWORD: 'a$$b', EMPTY: '', N: 3.10}
    volumes: ["./html:/html:ro", "data:/data"]
    depends_on: {db: {condition: service_healthy}}
    x-note: {a: [1, 2]}
  db:
    image: db
    healthcheck: {test: "pg_isready || exit 1", interval: 90s}
volumes: {data: }
"#;
    std::fs::write(here.join("compose.yaml"), text).expect("written");
    let first = compose(here, here, &["-p", "p", "config"]);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    std::fs::write(here.join("again.yaml"), &first.stdout).expect("written");
    let second = compose(here, here, &["-f", "again.yaml", "config"]);
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        String::from_utf8_lossy(&second.stdout)
    );
}

#[test]
fn lists_go_to_stdout_and_warnings_to_stderr() {
    let host = tempfile::tempdir().expect("a directory");
    let here = host.path();
    let text = "version: '3'\nservices:\n  b: {image: two, depends_on: [a]}\n  a: {image: one}\n";
    std::fs::write(here.join("compose.yaml"), text).expect("written");
    let output = compose(here, here, &["-p", "p", "config", "--services"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\nb\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("compose.yaml:1:1"));
    let output = compose(here, here, &["-p", "p", "config", "--images"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n");
}

#[test]
fn the_environment_says_which_files_and_profiles() {
    let host = tempfile::tempdir().expect("a directory");
    let here = host.path();
    std::fs::write(here.join("one.yaml"), "services: {a: {image: one}}\n").expect("written");
    std::fs::write(
        here.join("two.yaml"),
        "services: {b: {image: '${IMAGE}', profiles: [extra]}}\n",
    )
    .expect("written");
    std::fs::write(
        here.join(".env"),
        "COMPOSE_FILE=one.yaml:two.yaml\nCOMPOSE_PROFILES=extra\nIMAGE=two\n",
    )
    .expect("written");
    let output = compose(here, here, &["config", "--images"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "one\ntwo\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
