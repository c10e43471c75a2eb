//! Terminals: `run -it` and `exec -it` on a real pseudo-terminal, its size, its keys and what is left of it afterwards.

use support::{Host, Terminal, eventually};

use crate::{BUSYBOX, busybox, detached};

fn run(host: &Host, words: &[&str]) -> Terminal {
    let mut command = host.lighter_command(["run", "--network", "none"]);
    command.args(words);
    Terminal::start(&command)
}

#[test]
fn the_program_has_a_terminal_of_its_own_with_the_size_of_ours() {
    let Some(host) = busybox() else { return };
    let mut terminal = run(&host, &["--rm", "-it", BUSYBOX, "sh"]);
    terminal.type_in("tty; test -t 0 -a -t 1 -a -t 2 && echo all three; stty size; echo $TERM\r");
    terminal.until("/dev/pts/0\r\n");
    terminal.until("all three\r\n");
    terminal.until("24 80\r\n");
    terminal.until("xterm\r\n");
    terminal.type_in("trap 'stty size; trap - WINCH' WINCH\r");
    terminal.until("# ");
    terminal.resize(50, 132);
    eventually("the new size has come", 10, || {
        terminal.type_in("stty size | tr ' ' x\r");
        terminal.until("# ").contains("50x132").then_some(())
    });
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.end().0, 7);
}

#[test]
fn ctrl_c_goes_to_the_program_and_not_to_us() {
    let Some(host) = busybox() else { return };
    let mut terminal = run(&host, &["--rm", "-it", BUSYBOX, "sh"]);
    terminal.until("# ");
    // What it prints comes once it has the terminal: from then on Ctrl-C is a signal for it.
    terminal.type_in("sh -c 'echo begun $((40 + 2)); exec sleep 1000'\r");
    terminal.until("begun 42");
    terminal.type_in("\u{3}");
    terminal.until("^C");
    terminal.until("# ");
    terminal.type_in("echo still here $((40 + 2))\r");
    terminal.until("still here 42");
    terminal.type_in("\u{4}");
    terminal.end();
}

#[test]
fn output_has_carriage_returns_and_the_log_has_them_too() {
    let Some(host) = busybox() else { return };
    let words = [
        "--name",
        "box",
        "-it",
        BUSYBOX,
        "sh",
        "-c",
        "echo out; echo err >&2",
    ];
    let (code, output) = run(&host, &words).end();
    assert_eq!((code, output.as_str()), (0, "out\r\nerr\r\n"));
    assert_eq!(host.lighter(["logs", "box"]).stdout, "out\r\nerr\r\n");
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let Some(host) = busybox() else { return };
    detached(&host, &[BUSYBOX, "sleep", "1000"]);
    let mut terminal = Terminal::start(&host.lighter_command(["exec", "-it", "box", "sh"]));
    terminal.type_in("stty size; tty\r");
    terminal.until("24 80\r\n");
    terminal.until("/dev/pts/");
    terminal.resize(30, 100);
    eventually("the new size has come", 10, || {
        terminal.type_in("stty size | tr ' ' x\r");
        terminal.until("# ").contains("30x100").then_some(())
    });
    terminal.type_in("exit 4\r");
    assert_eq!(terminal.end().0, 4);
}

#[test]
fn detaching_from_exec_lets_it_run() {
    let Some(host) = busybox() else { return };
    detached(&host, &[BUSYBOX, "sleep", "1000"]);
    let script = "echo ready; read line; echo $line > /typed; sleep 0.5; touch /end; sleep 1000";
    let mut terminal =
        Terminal::start(&host.lighter_command(["exec", "-it", "box", "sh", "-c", script]));
    terminal.until("ready");
    terminal.type_in("typed\r");
    terminal.type_in("\u{10}\u{11}");
    assert_eq!(terminal.end().0, 0);
    eventually("it goes on without us", 10, || {
        (host.lighter(["exec", "box", "ls", "/end"]).code == 0).then_some(())
    });
    assert_eq!(
        host.lighter(["exec", "box", "cat", "/typed"]).text(),
        "typed"
    );
}

#[test]
fn our_terminal_is_as_it_was_afterwards() {
    let Some(host) = busybox() else { return };
    let line = |script: &str| {
        format!(
            "stty -a | md5sum; {} --root {} --state {} run --rm -it --network none {BUSYBOX} sh -c '{script}'; \
             stty -a | md5sum",
            host.program().display(),
            host.root().display(),
            host.state().display()
        )
    };
    for script in ["true", "exit 3", "stty raw -echo", "kill -KILL 1"] {
        let mut command = host.command("sh");
        command.args(["-c", &line(script)]);
        let (_, output) = Terminal::start(&command).end();
        let sums: Vec<&str> = output.lines().filter(|line| line.contains("  -")).collect();
        assert_eq!(sums.len(), 2, "{output:?}");
        assert_eq!(sums[0].trim(), sums[1].trim(), "after {script}");
    }
}
