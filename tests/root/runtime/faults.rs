//! The runtime is killed between any two steps; the next command clears everything.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use serde_json::json;

use super::{Bundle, Said, possible};

/// Every cgroup of this name, in whichever hierarchy.
fn groups(name: &str) -> Vec<PathBuf> {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else {
        return Vec::new();
    };
    let tops = hierarchies.flatten().map(|entry| entry.path());
    tops.chain(["/sys/fs/cgroup".into()])
        .map(|top| top.join(format!("lighter-{name}")))
        .filter(|path| path.exists())
        .collect()
}

/// Processes whose root is the bundle's.
fn processes(bundle: &Bundle) -> Vec<String> {
    let own = bundle.root();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| fs::read_link(entry.path().join("root")).is_ok_and(|root| root == own))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// `kill -9` right before each step of a birth, one after another.
#[test]
fn killed_between_any_two_steps_nothing_stays() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("sleep 60");
    bundle.config["linux"]["resources"] = json!({"pids": {"limit": 50}});
    let mut step = 0;
    loop {
        let mut create = bundle.command(&["create"], &[]);
        let log = fs::File::create(bundle.beside("logs").join("create")).unwrap();
        create.env("LIGHTER_STOP_AT", step.to_string());
        create.stdout(std::process::Stdio::null()).stderr(log);
        let ended = create.status().unwrap();
        let deleted = Said::from(
            bundle
                .command(&["delete", "--force"], &[])
                .output()
                .unwrap(),
        );
        assert_eq!(deleted.code, Some(0), "step {step}: {}", deleted.err);
        assert_eq!(groups(&bundle.id), Vec::<PathBuf>::new(), "step {step}");
        assert_eq!(processes(&bundle), Vec::<String>::new(), "step {step}");
        let left: Vec<_> = fs::read_dir(bundle.states()).unwrap().flatten().collect();
        assert!(left.is_empty(), "step {step}: {left:?}");
        if ended.success() {
            break;
        }
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "step {step}");
        step += 1;
    }
    // All the steps before the wait for the start were walked.
    assert!(step > 30, "{step}");
}

/// The id is free again at once, without a delete in between.
#[test]
fn a_failed_creation_leaves_nothing() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("true");
    bundle.config["process"]["args"] = json!(["/no/such/program"]);
    assert_ne!(bundle.run().code, Some(0));
    assert_eq!(groups(&bundle.id), Vec::<PathBuf>::new());
    bundle.config["process"]["args"] = json!(["true"]);
    let said = bundle.run();
    assert_eq!(said.code, Some(0), "{}", said.err);
}
