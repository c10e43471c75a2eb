//! The hooks of a bundle, as steps. config.md, POSIX-platform hooks.
//!
//! Each hook reads the container's state; the pid in it is filled in when the
//! hook runs, because it is not known when it is planned.

use kernel::op;
use kernel::{Op, Script, Step};
use oci_spec::runtime::Hook;
use serde_json::json;

use super::process::environment;
use crate::{Status, View};

/// Host side, when everything inside is mounted and the host's files are still in reach.
pub fn create_runtime(view: &View) -> Vec<Step> {
    let Some(hooks) = view.hooks else {
        return Vec::new();
    };
    #[allow(deprecated, reason = "docker still uses prestart for its networks")]
    let prestart = steps(
        view,
        "prestart",
        hooks.prestart().as_deref(),
        Status::Created,
        Step::host,
    );
    let create = steps(
        view,
        "createRuntime",
        hooks.create_runtime().as_deref(),
        Status::Created,
        Step::host,
    );
    [prestart, create].concat()
}

/// Container side, with the host's files still in reach.
pub fn create_container(view: &View) -> Vec<Step> {
    let hooks = view
        .hooks
        .and_then(|hooks| hooks.create_container().as_deref());
    steps(
        view,
        "createContainer",
        hooks,
        Status::Created,
        Step::container,
    )
}

/// Container side, right before the program: a program of the image, and confined as it will be.
pub fn start_container(view: &View) -> Vec<Step> {
    let hooks = view
        .hooks
        .and_then(|hooks| hooks.start_container().as_deref());
    let mut steps = steps(
        view,
        "startContainer",
        hooks,
        Status::Created,
        Step::container,
    );
    // Without an environment of its own such a hook has the program's, as with runc.
    for (step, hook) in steps.iter_mut().zip(hooks.unwrap_or(&[])) {
        if let (Op::RunHook(op), None, Some(process)) = (&mut step.op, hook.env(), view.process) {
            op.env = Some(environment(process));
        }
    }
    steps
}

/// Host side, after the start.
pub fn poststart(view: &View) -> Script {
    let hooks = view.hooks.and_then(|hooks| hooks.poststart().as_deref());
    Script::new(steps(view, "poststart", hooks, Status::Running, Step::host))
}

/// Host side, after everything was removed.
pub fn poststop(view: &View) -> Script {
    let hooks = view.hooks.and_then(|hooks| hooks.poststop().as_deref());
    Script::new(steps(view, "poststop", hooks, Status::Stopped, Step::host))
}

fn steps(
    view: &View,
    kind: &'static str,
    hooks: Option<&[Hook]>,
    status: Status,
    side: fn(Op, &'static str) -> Step,
) -> Vec<Step> {
    let step = |hook: &Hook| {
        let op = op::Hook {
            kind: kind.into(),
            path: hook.path().clone(),
            args: hook.args().clone().unwrap_or_default(),
            env: hook.env().clone(),
            timeout: hook
                .timeout()
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|t| *t > 0),
            state: state(view, status),
        };
        side(Op::RunHook(op), "The bundle's own program takes part")
    };
    hooks.unwrap_or(&[]).iter().map(step).collect()
}

/// The state that a hook reads. runtime.md, State: "created" is all that comes after step 2 of the
/// lifecycle, and the first hooks are step 3.
fn state(view: &View, status: Status) -> String {
    let mut state = json!({
        "ociVersion": view.oci_version,
        "id": view.id,
        "status": status,
        "pid": op::PID,
        "bundle": view.bundle,
    });
    if !view.annotations.is_empty() {
        state["annotations"] = json!(view.annotations);
    }
    state.to_string()
}
