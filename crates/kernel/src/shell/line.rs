//! The lines for one [`Op`].

use std::fmt::Display;
use std::path::Path;

use crate::namespace::Namespace;
use crate::op::*;
use crate::script::Side;

/// What was emitted before.
pub(super) struct Context {
    pub side: Side,
    /// The host's tools are out of reach by name.
    pub pivoted: bool,
    /// What [`Op::OpenTree`] named.
    pub trees: Vec<Tree>,
}

/// The lines of one step.
#[derive(Default)]
pub(super) struct Lines {
    pub lines: Vec<String>,
    /// The tool that must start the shell again for this step to be done.
    pub restarts_by: Option<String>,
}

impl From<String> for Lines {
    fn from(line: String) -> Self {
        Self {
            lines: vec![line],
            restarts_by: None,
        }
    }
}

impl From<Vec<String>> for Lines {
    fn from(lines: Vec<String>) -> Self {
        Self {
            lines,
            restarts_by: None,
        }
    }
}

fn restart(tool: String) -> Lines {
    Lines {
        lines: Vec::new(),
        restarts_by: Some(tool),
    }
}

/// What no tool does: said, and what it means for the container.
fn no_tool(what: &str) -> Lines {
    format!(": # {what}").into()
}

/// A word that a shell takes as it is.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn path(path: &Path) -> String {
    quote(&path.display().to_string())
}

/// `"$(inside /etc/hosts)"`.
fn inside(path: &Inside) -> String {
    format!("\"$(inside {})\"", quote(&path.to_string()))
}

/// The last component is not followed: `"$(inside /dev)"/null`.
fn inside_no_follow(path: &Inside) -> String {
    let parent = path
        .as_path()
        .parent()
        .unwrap_or(Path::new("/"))
        .display()
        .to_string();
    let name = path.as_path().file_name().unwrap_or_default();
    format!(
        "\"$(inside {})\"/{}",
        quote(&parent),
        quote(&name.to_string_lossy())
    )
}

/// The option of unshare(1) and nsenter(1).
pub(super) fn word(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::User => "user",
        Namespace::Mount => "mount",
        Namespace::Uts => "uts",
        Namespace::Ipc => "ipc",
        Namespace::Network => "net",
        Namespace::Pid => "pid",
        Namespace::Cgroup => "cgroup",
        Namespace::Time => "time",
    }
}

/// The lines for an op: each of the functions below has the ops of one subject, and passes on the others.
pub(super) fn lines(op: &Op, context: &Context) -> Lines {
    namespace(op, context)
}

/// After the root was changed, the host's tools are called by way of their own loader.
fn tool(context: &Context) -> &'static str {
    if context.pivoted { "tool " } else { "" }
}

/// Namespaces, and what only they have.
fn namespace(op: &Op, context: &Context) -> Lines {
    let tool = tool(context);
    match op {
        Op::Clone(_) => no_tool("unshare(1) makes the namespaces and starts the container's shell"),
        Op::Join {
            namespace,
            path: file,
        } => restart(format!("nsenter --{}={} --", word(*namespace), path(file))),
        Op::HoldProcess { pid, .. } => format!("held={pid}; export held").into(),
        Op::JoinHeld { namespaces } => restart(format!(
            "nsenter --target \"$held\" {}--",
            options(namespaces)
        )),
        Op::Unshare { namespaces } => restart(format!("unshare {}--", options(namespaces))),
        Op::MapIds { uids, gids } => {
            vec![map_ids("uid_map", uids), map_ids("gid_map", gids)].into()
        }
        Op::BecomeRoot => restart("setpriv --reuid=0 --regid=0 --clear-groups".into()),
        Op::EnterTimeNamespace { offsets } => restart(time_namespace(offsets)),
        Op::SetHostname { name } => format!("{tool}hostname {}", quote(name)).into(),
        Op::SetDomainname { name } => {
            format!("echo {} >/proc/sys/kernel/domainname", quote(name)).into()
        }
        other => mount(other, context),
    }
}

/// Mounts, devices and the root.
fn mount(op: &Op, context: &Context) -> Lines {
    let tool = tool(context);
    match op {
        Op::OpenTree(tree) => open_tree(tree),
        Op::SetPropagation { propagation, recursive } => {
            format!("{tool}mount --make-{}{} /", if *recursive { "r" } else { "" }, propagation_word(*propagation)).into()
        }
        Op::IsolateMount { path: at } => {
            format!("mount --make-private \"$(findmnt -n -o TARGET --target {})\"", path(at)).into()
        }
        Op::MountOverlay(overlay) => mount_overlay(overlay),
        Op::BindRoot { path: from, target, detach, .. } => bind_root(from, target, *detach),
        Op::Mount(mount) => mount_inside(mount, context, tool),
        Op::ChangeMount { path, attributes, .. } => vec![
            format!("at={}", inside(path)),
            format!("{tool}mount -o \"remount,bind,{}$(options_of \"$at\")\" \"$at\"", attribute_words(*attributes).join(",")),
        ]
        .into(),
        Op::MakeDevice(device) => make_device(device, tool),
        Op::MakeInside { path, mode } => format!("{tool}mkdir -p -m {mode:o} {}", inside(path)).into(),
        Op::Symlink { target, link } => {
            let at = inside_no_follow(link);
            format!("[ -L {at} ] || [ -e {at} ] || {tool}ln -s {} {at}", path(target)).into()
        }
        Op::Mask { path } => format!("mask {}", inside(path)).into(),
        Op::ReadOnly { path } => format!("protect {}", inside(path)).into(),
        Op::ReadOnlyRoot => format!("{tool}mount -o \"remount,bind,ro$(options_of \"$root\")\" \"${{root:-/}}\"").into(),
        Op::PivotRoot => "change_root".to_owned().into(),
        Op::MoveRoot { path: at } => vec![
            format!("cd {}", path(at)),
            no_tool_line("the host's root cannot be pivoted away here: it is covered, and the program runs by chroot"),
            "mount --move . /".into(),
            "session+=(usr/sbin/chroot .)".into(),
        ]
        .into(),
        Op::EnterRoot { path: at } => vec![format!("cd {}", path(at)), "session+=(usr/sbin/chroot .)".into()].into(),
        Op::UnmountRoot { path: at } => format!("! mountpoint -q {0} || umount -l {0}; rmdir {0}", path(at)).into(),
        Op::Sysctl { name, value } => format!("echo {} >/proc/sys/{}", quote(value), sysctl_path(name)).into(),
        other => process(other, context),
    }
}

/// What the program starts with.
fn process(op: &Op, context: &Context) -> Lines {
    let tool = tool(context);
    match op {
        Op::NewSession => {
            vec!["session=(usr/bin/setsid \"./$loader\" --library-path \"$libraries\")".to_owned()]
                .into()
        }
        Op::NewKeyring { .. } => no_tool(
            "keyctl session: only keyutils has a tool; the container keeps this shell's keyring",
        ),
        Op::OpenTerminal { .. } => {
            no_tool("the container uses the terminal of this shell, not one of its own")
        }
        Op::ControlTerminal => no_tool("as above"),
        Op::SetRlimit {
            resource,
            soft,
            hard,
        } => {
            let name = resource.trim_start_matches("RLIMIT_").to_lowercase();
            format!(
                "{tool}prlimit --pid \"$$\" --{name}={}:{}",
                limit(*soft),
                limit(*hard)
            )
            .into()
        }
        Op::SetOomScore { adjustment } => {
            format!("echo {adjustment} >/proc/{}/oom_score_adj", itself(context)).into()
        }
        Op::SetScheduler(scheduler) => set_scheduler(scheduler, tool),
        Op::SetIoPriority { class, level } => {
            format!("{tool}ionice -c {class} -n {level} -p \"$$\"").into()
        }
        Op::SetAffinity { cpus } => format!("{tool}taskset -c -p {} \"$$\"", quote(cpus)).into(),
        Op::SetMemoryPolicy { .. } => {
            no_tool("set_mempolicy: only numactl has a tool; pages come from anywhere")
        }
        Op::SetPersonality { persona } => no_tool(&format!(
            "personality({persona:#x}): setarch(1) would do it in front of the program"
        )),
        Op::SetUmask { mask } => format!("umask {mask:04o}").into(),
        Op::ChangeDirectory { path } => format!("directory={}", quote(&path.to_string())).into(),
        Op::RunHook(hook) => run_hook(hook),
        Op::FindProgram { program, .. } => {
            no_tool(&format!("env(1) finds {} in PATH below", quote(program)))
        }
        Op::FindHome { uid } => format!(
            "home=$({tool}awk -F: '$3 == {uid} {{ print $6; exit }}' {}) || home=",
            inside(&Inside::new("/etc/passwd"))
        )
        .into(),
        Op::CloseOnExec { .. } => no_tool("a shell opens nothing that its programs would inherit"),
        Op::AwaitStart => no_tool("created; this script starts at once"),
        Op::Exec(exec) => execute(exec),
        other => privilege(other, context),
    }
}

/// Who the program is and what it may do.
fn privilege(op: &Op, context: &Context) -> Lines {
    match op {
        Op::SetUser { uid, gid, groups } => set_user(*uid, *gid, groups.as_deref()),
        Op::LimitCapabilities { bounding } => {
            format!("privileges+=(--bounding-set={})", capabilities(bounding)).into()
        }
        Op::KeepCapabilities { .. } => {
            no_tool("the shell gives capabilities up when it starts the program")
        }
        Op::SetCapabilities(sets) => format!(
            "privileges+=(--inh-caps={} --ambient-caps={})",
            capabilities(&sets.inheritable),
            capabilities(&sets.ambient)
        )
        .into(),
        Op::DieWithCreator => "privileges+=(--pdeathsig=KILL)".to_owned().into(),
        Op::BecomeInit => {
            no_tool("an init that forwards signals: tini and dumb-init are programs for that")
        }
        Op::NoNewPrivileges => "privileges+=(--no-new-privs)".to_owned().into(),
        Op::SetAppArmor { profile } => {
            format!("privileges+=(--apparmor-profile={})", quote(profile)).into()
        }
        Op::SetSelinux { label } => {
            format!("privileges+=(--selinux-label={})", quote(label)).into()
        }
        Op::Seccomp(filter) => no_tool(&format!(
            "a seccomp filter of {} instructions: util-linux has a tool only since 2.40 (setpriv --seccomp-filter); the program may call everything",
            filter.program.len()
        )),
        other => cgroup(other, context),
    }
}

/// Cgroups; networks and files have a page of their own.
fn cgroup(op: &Op, context: &Context) -> Lines {
    match op {
        Op::CgroupCreate { path: at } => format!("mkdir -p {}", path(at)).into(),
        Op::CgroupWrite {
            path: at,
            file,
            value,
        } => format!("echo {} >{}", quote(value), path(&at.join(file))).into(),
        Op::CgroupDevices { rules, .. } => no_tool(&format!(
            "an eBPF program with {} rules for devices: no tool writes one; the capability to make nodes is missing anyway",
            rules.len()
        )),
        Op::CgroupJoin { path: at } => {
            let file = path(&at.join("cgroup.procs"));
            format!(
                "echo \"{}\" >{file}",
                if context.side == Side::Host {
                    "$pid"
                } else {
                    "$$"
                }
            )
            .into()
        }
        Op::CgroupDelegate { path: at, uid, gid } => {
            let at = path(at);
            format!("chown {uid}:{gid} {at} {at}/cgroup.procs {at}/cgroup.threads {at}/cgroup.subtree_control").into()
        }
        Op::CgroupDelete { path: at } => cgroup_delete(at),
        other => super::network::lines(other),
    }
}

fn no_tool_line(what: &str) -> String {
    format!("# {what}")
}

/// The container's process in procfs.
fn itself(context: &Context) -> &'static str {
    match context.side {
        Side::Host => "\"$pid\"",
        Side::Container => "self",
    }
}

fn options(namespaces: &[Namespace]) -> String {
    namespaces
        .iter()
        .map(|kind| format!("--{} ", word(*kind)))
        .collect()
}

fn map_ids(file: &str, mappings: &[IdMapping]) -> String {
    let lines: Vec<String> = mappings
        .iter()
        .map(|line| format!("'{} {} {}'", line.inside, line.outside, line.count))
        .collect();
    format!("printf '%s\\n' {} >\"/proc/$pid/{file}\"", lines.join(" "))
}

fn time_namespace(offsets: &[(String, i64, u32)]) -> String {
    let options: String = offsets
        .iter()
        .map(|(clock, seconds, _)| format!("--{clock} {seconds} "))
        .collect();
    format!("unshare --time {options}--fork --")
}

fn open_tree(tree: &Tree) -> Lines {
    match tree.id_map {
        None => no_tool(&format!("{} is bound from inside, below", path(&tree.path))),
        Some(_) => no_tool(&format!(
            "{} with other owners: util-linux has a tool only since 2.39 (X-mount.idmap); it is bound as it is",
            path(&tree.path)
        )),
    }
}

fn propagation_word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Shared => "shared",
        Propagation::Slave => "slave",
        Propagation::Unbindable => "unbindable",
    }
}

/// A colon parts layers and a comma options; overlayfs takes both with a backslash.
fn layer(path: &Path) -> String {
    path.display()
        .to_string()
        .replace('\\', r"\\")
        .replace(':', r"\:")
        .replace(',', r"\,")
}

fn mount_overlay(overlay: &Overlay) -> Lines {
    let lower: Vec<String> = overlay.lower.iter().map(|path| layer(path)).collect();
    let mut options = vec![format!("lowerdir={}", lower.join(":"))];
    options.extend(
        overlay
            .upper
            .iter()
            .map(|path| format!("upperdir={}", layer(path))),
    );
    options.extend(
        overlay
            .work
            .iter()
            .map(|path| format!("workdir={}", layer(path))),
    );
    options.extend(overlay.options.iter().cloned());
    let target = path(&overlay.target);
    vec![
        format!("root={target}; export root"),
        format!(
            "mount -t overlay overlay -o {} \"$root\"",
            quote(&options.join(","))
        ),
        "mount --make-private \"$root\"".into(),
    ]
    .into()
}

fn bind_root(from: &Path, target: &Path, detach: bool) -> Lines {
    let mut lines = vec![
        format!("root={}; export root", path(target)),
        format!("mount --rbind {} \"$root\"", path(from)),
    ];
    if detach {
        lines.push("mount --make-rprivate \"$root\"".into());
    }
    lines.into()
}

/// The words of mount(8) for `MOUNT_ATTR_*` bits.
fn attribute_words(attributes: Attributes) -> Vec<&'static str> {
    const WORDS: [(u64, &str, &str); 6] = [
        (0x01, "ro", "rw"),
        (0x02, "nosuid", "suid"),
        (0x04, "nodev", "dev"),
        (0x08, "noexec", "exec"),
        (0x80, "nodiratime", "diratime"),
        (0x20_0000, "nosymfollow", "symfollow"),
    ];
    let mut words: Vec<&str> = Vec::new();
    for (bit, set, clear) in WORDS {
        if attributes.set & bit != 0 {
            words.push(set);
        } else if attributes.clear & bit != 0 {
            words.push(clear);
        }
    }
    words.extend(match attributes.set & 0x70 {
        0x10 => Some("noatime"),
        0x20 => Some("strictatime"),
        _ if attributes.clear & 0x70 != 0 => Some("relatime"),
        _ => None,
    });
    words
}

fn mount_inside(mount: &Mount, context: &Context, tool: &str) -> Lines {
    let target = if mount.no_follow {
        inside_no_follow(&mount.target)
    } else {
        inside(&mount.target)
    };
    let words = attribute_words(mount.attributes);
    let mut lines = vec![format!("at={target}")];
    match &mount.source {
        MountSource::Filesystem {
            kind,
            source,
            options,
        } => {
            lines.push(format!("{tool}mkdir -p \"$at\""));
            if mount.copy_up {
                lines.push("kept=$(mktemp -d); cp -a \"$at/.\" \"$kept/\"".into());
            }
            lines.push(format!(
                "{tool}mount -t {kind}{} {} \"$at\"",
                filesystem_options(options, &words),
                quote(source)
            ));
            if mount.copy_up {
                lines.push("cp -a \"$kept/.\" \"$at/\"; rm -rf \"$kept\"".into());
            }
            // `-o ro` would make the whole filesystem read-only, not only this mount of it.
            if words.contains(&"ro") {
                lines.push(format!(
                    "{tool}mount -o remount,bind,{} \"$at\"",
                    words.join(",")
                ));
            }
        }
        MountSource::Bind {
            path: from,
            recursive,
        } => bind(&mut lines, &path(from), *recursive, &words, tool),
        MountSource::BindInside {
            path: from,
            recursive,
        } => bind(&mut lines, &inside(from), *recursive, &words, tool),
        MountSource::Prepared { slot } => {
            let tree = context.trees.iter().rev().find(|tree| tree.slot == *slot);
            let from = tree.map_or_else(|| "\"\"".into(), |tree| path(&tree.path));
            bind(
                &mut lines,
                &from,
                tree.is_some_and(|tree| tree.recursive),
                &words,
                tool,
            );
        }
    }
    let below = attribute_words(mount.recursive);
    if !below.is_empty() {
        lines.push(no_tool_line(&format!(
            "{} for every mount below too: util-linux has it since 2.39; here for this one only",
            below.join(",")
        )));
        lines.push(format!(
            "{tool}mount -o \"remount,bind,{}$(options_of \"$at\")\" \"$at\"",
            below.join(",")
        ));
    }
    lines.extend(mount.propagation.iter().map(|(propagation, recursive)| {
        format!(
            "{tool}mount --make-{}{} \"$at\"",
            if *recursive { "r" } else { "" },
            propagation_word(*propagation)
        )
    }));
    lines.into()
}

/// ` -o nosuid,size=64m`, or nothing; read-only comes later, for this mount alone.
fn filesystem_options(options: &[(String, Option<String>)], words: &[&str]) -> String {
    let mut all: Vec<String> = words
        .iter()
        .filter(|word| **word != "ro")
        .map(|word| (*word).to_owned())
        .collect();
    all.extend(options.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    }));
    if all.is_empty() {
        String::new()
    } else {
        format!(" -o {}", quote(&all.join(",")))
    }
}

fn bind(lines: &mut Vec<String>, from: &str, recursive: bool, words: &[&str], tool: &str) {
    lines.push(format!("place {from} \"$at\""));
    lines.push(format!(
        "{tool}mount --{} {from} \"$at\"",
        if recursive { "rbind" } else { "bind" }
    ));
    lines.push(format!(
        "{tool}mount --make-{}private \"$at\"",
        if recursive { "r" } else { "" }
    ));
    if !words.is_empty() {
        lines.push(format!(
            "{tool}mount -o \"remount,bind,{}$(options_of \"$at\")\" \"$at\"",
            words.join(",")
        ));
    }
}

fn make_device(device: &Device, tool: &str) -> Lines {
    let at = inside_no_follow(&device.path);
    let numbers = if device.kind == 'p' {
        String::new()
    } else {
        format!(" {} {}", device.major, device.minor)
    };
    vec![
        format!("[ -e {at} ] || {tool}mknod {at} {}{numbers}", device.kind),
        format!(
            "{tool}chown {}:{} {at}; {tool}chmod {:o} {at}",
            device.uid, device.gid, device.mode
        ),
    ]
    .into()
}

/// `net.ipv4.conf.eth0.x` is net/ipv4/conf/eth0/x.
fn sysctl_path(name: &str) -> String {
    quote(&if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    })
}

fn limit(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".into()
    } else {
        value.to_string()
    }
}

fn set_scheduler(scheduler: &Scheduler, tool: &str) -> Lines {
    let policy = match scheduler.policy {
        0 => return format!("{tool}renice -n {} -p \"$$\"", scheduler.nice).into(),
        1 => "--fifo",
        2 => "--rr",
        3 => "--batch",
        5 => "--idle",
        _ => "--deadline",
    };
    let times = match policy {
        "--deadline" => format!(
            " -T {} -D {} -P {}",
            scheduler.runtime, scheduler.deadline, scheduler.period
        ),
        _ => String::new(),
    };
    format!(
        "{tool}chrt {policy}{times} -p {} \"$$\"",
        scheduler.priority
    )
    .into()
}

fn set_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Lines {
    let groups = match groups {
        None => "--keep-groups".to_owned(),
        Some([]) => "--clear-groups".to_owned(),
        Some(groups) => format!("--groups={}", joined(groups, ",")),
    };
    format!("privileges+=(--reuid={uid} --regid={gid} {groups})").into()
}

fn joined<T: Display>(items: &[T], separator: &str) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(separator)
}

/// `-all,+chown,+kill`.
fn capabilities(names: &[String]) -> String {
    let kept: String = names
        .iter()
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    format!("-all{kept}")
}

fn run_hook(hook: &Hook) -> Lines {
    let environment = match &hook.env {
        Some(env) => env.iter().fold("env -i ".to_owned(), |all, variable| {
            all + &quote(variable) + " "
        }),
        None => String::new(),
    };
    let arguments: String = hook
        .args
        .iter()
        .skip(1)
        .map(|argument| format!(" {}", quote(argument)))
        .collect();
    let timeout = hook
        .timeout
        .map(|seconds| format!("timeout {seconds} "))
        .unwrap_or_default();
    vec![
        format!("state={}", quote(&hook.state)),
        format!(
            "printf %s \"${{state//\\\"@PID@\\\"/$pid}}\" | {timeout}{environment}{}{arguments}",
            path(&hook.path)
        ),
    ]
    .into()
}

fn execute(exec: &Exec) -> Lines {
    let list = |words: &[String]| {
        words
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    vec![
        format!("environment=({})", list(&exec.env)),
        format!("become {}", list(&exec.args)),
    ]
    .into()
}

fn cgroup_delete(at: &Path) -> Lines {
    let at = path(at);
    vec![
        format!("[ ! -e {at}/cgroup.kill ] || echo 1 >{at}/cgroup.kill"),
        format!(
            "while read -r member; do kill -KILL \"$member\"; done <{at}/cgroup.procs 2>/dev/null"
        ),
        format!("for _ in 1 2 3 4 5; do rmdir {at} 2>/dev/null && break; sleep 0.1; done"),
    ]
    .into()
}
