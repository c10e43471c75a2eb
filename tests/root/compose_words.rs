//! What compose verbs say: each container by its own name, docker's words, how one ended, and each error once.

use crate::compose::App;
use crate::compose_turns::events;

const ONE: &str =
    "services: {a: {image: localhost:5000/busybox, command: sleep 1000, stop_grace_period: 0s}}\n";

#[test]
fn what_stays_is_named_and_what_is_made_anew_has_one_name() {
    let Some(app) = App::new(ONE) else { return };
    app.compose(&["up", "-d"]).success();
    let said = app.compose(&["up", "-d"]).success().stderr;
    assert_eq!(events(&said), [("app-a-1", "Running")], "{said}");
    let said = app
        .compose(&["up", "-d", "--force-recreate"])
        .success()
        .stderr;
    let wanted = ["Recreate", "Recreated", "Starting", "Started"].map(|word| ("app-a-1", word));
    let mut told = events(&said);
    told.retain(|(_, word)| !word.starts_with("Note: "));
    assert_eq!(told, wanted, "{said}");
    app.down();
}

#[test]
fn a_foreground_up_says_how_each_ended() {
    let Some(app) =
        App::new("services: {a: {image: localhost:5000/busybox, command: 'sh -c \"exit 3\"'}}\n")
    else {
        return;
    };
    let said = app.compose(&["up"]).success().stderr;
    assert!(said.contains("\na-1 exited with code 3\n"), "{said}");
    let output = app.compose(&["up", "--abort-on-container-exit"]);
    let wanted = "a-1 exited with code 3\nAborting on container exit...\n";
    assert!(
        output.code == 3 && output.stderr.contains(wanted),
        "{}",
        output.stderr
    );
    app.down();
}

#[test]
fn an_image_that_cannot_be_had_leaves_everything_as_it_was() {
    let Some(app) = App::new(&format!(
        "{}  b: {{image: localhost:5000/there-is-no-such-image}}\n",
        ONE.replace("services: {", "services:\n  ")
            .replacen("}}\n", "}\n", 1)
    )) else {
        return;
    };
    assert_ne!(app.compose(&["up", "-d"]).code, 0);
    assert_eq!(app.compose(&["ps", "-a", "-q"]).stdout, "");
    let networks = app
        .host
        .lighter(["network", "ls", "-q", "--filter", "name=app_default"]);
    assert_eq!(networks.success().stdout, "");
}

#[test]
fn an_error_says_once_what_was_attempted() {
    let Some(app) =
        App::new("services: {a: {image: localhost:5000/busybox, command: /there/is/none}}\n")
    else {
        return;
    };
    let output = app.compose(&["up", "-d"]);
    let last = output
        .stderr
        .lines()
        .find(|line| line.starts_with("lighter: "));
    let last = last.expect("an error");
    assert_eq!(
        last.matches("cannot start the container").count(),
        1,
        "{last}"
    );
    app.down();
    let said = app.compose(&["run", "nosuch"]).stderr;
    assert_eq!(said, "lighter: no such service: nosuch\n");
}
