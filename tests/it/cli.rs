//! The command line as its users and their scripts meet it: help, errors, exit codes, and what goes
//! to which stream. No root: nothing here starts a container.

use std::process::{Command, Output};

use tempfile::TempDir;

/// A lighter with directories of its own.
struct Lighter {
    home: TempDir,
}

impl Lighter {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lighter"));
        command.env("LIGHTER_ROOT", self.home.path().join("root"));
        command.env("LIGHTER_STATE", self.home.path().join("state"));
        command.args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

/// Exit code, standard output and standard error of one call.
#[track_caller]
fn lighter(words: &[&str]) -> (i32, String, String) {
    let output = Lighter::new().run(words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What a failed call prints; its standard output must be empty.
#[track_caller]
fn fails(words: &[&str], code: i32) -> String {
    let (found, stdout, stderr) = lighter(words);
    assert_eq!((found, stdout.as_str()), (code, ""), "{words:?}: {stderr}");
    stderr
}

#[track_caller]
fn prints(words: &[&str]) -> String {
    let (code, stdout, stderr) = lighter(words);
    assert_eq!((code, stderr.as_str()), (0, ""), "{words:?}");
    stdout
}

#[test]
fn help_is_data_and_goes_to_standard_output() {
    for words in [
        &["--help"][..],
        &[],
        &["-h"],
        &["run", "--help"],
        &["container"],
        &["container", "ls", "--help"],
        &["volume"],
    ] {
        assert!(prints(words).starts_with("Usage:  lighter"), "{words:?}");
    }
    assert!(prints(&["--help"]).contains(
        "\nCommon commands:\n  run         Create and run a new container from an image\n"
    ));
}

#[test]
fn the_help_of_a_verb_reads_as_dockers() {
    insta::assert_snapshot!(prints(&["rm", "--help"]), @r"
    Usage:  lighter rm [OPTIONS] CONTAINER [CONTAINER...]

    Remove one or more containers

    Arguments:
      <CONTAINER>...  

    Options:
      -f, --force    Force the removal of a running container (uses SIGKILL)
      -v, --volumes  Remove anonymous volumes associated with the container
          --help     Print usage
    ");
}

#[test]
fn versions() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        prints(&["--version"]),
        format!("lighter version {version}\n")
    );
    assert_eq!(
        prints(&["version", "--format", "{{.Version}}"]),
        format!("{version}\n")
    );
    let json: serde_json::Value =
        serde_json::from_str(&prints(&["version", "-f", "json"])).unwrap();
    assert_eq!(json["Version"], version);
}

#[test]
fn an_unknown_option_is_125_on_every_verb() {
    insta::assert_snapshot!(fails(&["ps", "--foo"], 125), @r"
    lighter: unknown flag: --foo

    Usage:  lighter ps [OPTIONS]

    Run 'lighter ps --help' for more information
    ");
    insta::assert_snapshot!(fails(&["run", "--nmae", "x", "image"], 125), @r"
    lighter: unknown flag: --nmae (did you mean --name?)

    Usage:  lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]

    Run 'lighter run --help' for more information
    ");
    insta::assert_snapshot!(fails(&["run", "-itZ", "image"], 125), @r"
    lighter: unknown shorthand flag: 'Z' in -Z

    Usage:  lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]

    Run 'lighter run --help' for more information
    ");
    insta::assert_snapshot!(fails(&["--frobnicate", "ps"], 125), @r"
    lighter: unknown flag: --frobnicate

    Usage:  lighter [OPTIONS] COMMAND

    Run 'lighter --help' for more information
    ");
}

#[test]
fn a_wrong_value_is_125() {
    insta::assert_snapshot!(fails(&["run", "-m", "lots", "image"], 125), @r#"
    lighter: invalid argument "lots" for "-m, --memory": invalid size: 'lots'

    Run 'lighter run --help' for more information
    "#);
    insta::assert_snapshot!(fails(&["run", "--name"], 125), @r"
    lighter: flag needs an argument: --name

    Run 'lighter run --help' for more information
    ");
    insta::assert_snapshot!(fails(&["run", "--rm=maybe", "image"], 125), @r#"
    lighter: invalid argument "maybe" for "--rm": parsing "maybe": invalid syntax

    Run 'lighter run --help' for more information
    "#);
}

#[test]
fn an_unknown_verb_and_a_wrong_number_of_arguments_are_1() {
    insta::assert_snapshot!(fails(&["inspct"], 1), @r"
    lighter: unknown command: lighter inspct

    Did you mean 'lighter inspect'?

    Run 'lighter --help' for more information
    ");
    insta::assert_snapshot!(fails(&["container", "frobnicate"], 1), @r"
    lighter: unknown command: lighter container frobnicate

    Run 'lighter container --help' for more information
    ");
    insta::assert_snapshot!(fails(&["volume", "frobnicate"], 1), @r"
    lighter: unknown command: lighter volume frobnicate

    Usage:  lighter volume COMMAND

    Run 'lighter volume --help' for more information
    ");
    insta::assert_snapshot!(fails(&["run"], 1), @r"
    lighter: 'lighter run' requires at least 1 argument

    Usage:  lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]

    Run 'lighter run --help' for more information
    ");
    insta::assert_snapshot!(fails(&["ps", "extra"], 1), @r#"
    lighter: 'lighter ps' does not take the argument "extra"

    Usage:  lighter ps [OPTIONS]

    Run 'lighter ps --help' for more information
    "#);
    assert_eq!(lighter(&["exec", "web"]).0, 1);
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!(fails(&["stop", "nobody"], 1), @"lighter: no such container: nobody (`lighter ps -a` lists them)");
    insta::assert_snapshot!(fails(&["logs", "nobody"], 1), @"lighter: no such container: nobody (`lighter ps -a` lists them)");
    insta::assert_snapshot!(fails(&["rename", "nobody", "somebody"], 1), @"lighter: no such container: nobody (`lighter ps -a` lists them)");
    let (code, stdout, stderr) = lighter(&["rm", "-f", "nobody"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
}

#[test]
fn inspect_prints_what_it_found_even_when_that_is_nothing() {
    let (code, stdout, stderr) = lighter(&["inspect", "nobody"]);
    assert_eq!((code, stdout.as_str()), (1, "[]\n"));
    assert_eq!(stderr, "lighter: No such object: nobody\n");
    let (code, stdout, _) = lighter(&["inspect", "--format", "{{.Id}}", "nobody"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
}

#[test]
fn an_empty_host_lists_headings_only() {
    assert_eq!(
        prints(&["ps", "-a"]),
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    );
    assert_eq!(prints(&["container", "ls", "-aq"]), "");
    assert_eq!(prints(&["ps", "--format", "json"]), "");
    assert_eq!(prints(&["volume", "ls"]), "DRIVER    VOLUME NAME\n");
    assert_eq!(
        prints(&["ps", "--format", "table {{.Names}}\\t{{.Status}}"]),
        "NAMES     STATUS\n"
    );
}

#[test]
fn a_bad_template_says_where() {
    insta::assert_snapshot!(fails(&["ps", "--format", "{{.Names"], 1), @"lighter: template parsing error: template: :1: unclosed action");
}

#[test]
fn an_image_that_must_not_be_pulled_is_not() {
    let stderr = fails(&["run", "--pull", "never", "nothing:here"], 125);
    assert!(stderr.contains("No such image: nothing:here"), "{stderr}");
    assert!(
        stderr.ends_with("Run 'lighter run --help' for more information\n"),
        "{stderr}"
    );
}

#[test]
fn volumes_are_made_listed_inspected_and_removed() {
    let host = Lighter::new();
    let output = |words: &[&str]| String::from_utf8(host.run(words).stdout).unwrap();
    assert_eq!(
        output(&["volume", "create", "--label", "a=b", "data"]),
        "data\n"
    );
    assert_eq!(output(&["volume", "ls", "-q"]), "data\n");
    assert_eq!(
        output(&["volume", "ls", "--format", "{{.Name}} {{.Labels}}"]),
        "data a=b\n"
    );
    assert_eq!(
        output(&["inspect", "--type", "volume", "-f", "{{.Labels.a}}", "data"]),
        "b\n"
    );
    assert_eq!(
        output(&["volume", "inspect", "-f", "{{json .Options}}", "data"]),
        "{}\n"
    );
    assert_eq!(output(&["volume", "rm", "data"]), "data\n");
    assert_eq!(host.run(&["volume", "rm", "data"]).status.code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = Lighter::new().command(&["completion", "bash"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn completion_is_a_script_that_the_shell_reads() {
    let script = prints(&["completion", "bash"]);
    assert!(
        script.contains("container") && script.contains("--network-alias"),
        "the verbs are in it"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lighter.bash");
    std::fs::write(&path, script).unwrap();
    assert!(
        Command::new("bash")
            .arg("-n")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn every_verb_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    prints(&["man", directory.path().to_str().unwrap()]);
    for page in [
        "lighter.1",
        "lighter-run.1",
        "lighter-container-ls.1",
        "lighter-volume-create.1",
    ] {
        let text = std::fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn directories_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Lighter::new();
    host.run(&["volume", "create", "data"]);
    for directory in ["root", "state"] {
        let mode = std::fs::metadata(host.home.path().join(directory))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{directory}");
    }
}
