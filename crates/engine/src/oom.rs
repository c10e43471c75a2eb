//! Did the kernel kill a process of a container for memory?
//!
//! v2 counts it in `memory.events` (children included), v1 in `memory.oom_control` since Linux 4.13. Read after the first
//! process has ended and before the cgroup is removed: a child's death counts too, and no notification can be missed.

use runtime::Container;

/// How many processes it killed.
pub(crate) fn kills(container: &Container) -> u64 {
    let Some(memory) = container.state.cgroup.with("memory") else {
        return 0;
    };
    let texts = ["memory.events", "memory.oom_control"]
        .map(|file| std::fs::read_to_string(memory.path.join(file)));
    texts.iter().flatten().filter_map(|text| count(text)).sum()
}

fn count(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_are_read() {
        assert_eq!(
            count("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(
            count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            Some(1)
        );
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
