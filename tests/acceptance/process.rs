//! Processes of this machine, as /proc shows them.

use std::collections::HashMap;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// When it was started, in ticks since the machine's start.
    started: u64,
    /// Its command line, for messages.
    pub(crate) command: String,
}

/// Parent, state and start of a process; `None` once it is gone.
fn stat(pid: u64) -> Option<(u64, char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((parent, state, fields.nth(17)?.parse().ok()?))
}

fn pids() -> Vec<u64> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn command(pid: u64) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Whether it runs; a zombie does not.
pub(crate) fn is_alive(pid: u64) -> bool {
    stat(pid).is_some_and(|(_, state, _)| state != 'Z')
}

impl Process {
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|(_, state, started)| state != 'Z' && started == self.started)
    }
}

/// Asks programs to end.
pub(crate) fn terminate(processes: &[Process]) {
    use nix::sys::signal::{Signal, kill};
    for process in processes.iter().filter(|process| process.is_alive()) {
        if let Ok(pid) = i32::try_from(process.pid) {
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

/// Waits until they have ended, for as long as a cloud takes to end in order.
pub(crate) async fn until_gone(processes: &[Process]) {
    let gone = async {
        while processes.iter().any(Process::is_alive) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(crate::program::END, gone).await;
}

/// The children of a process, theirs, and so on.
pub(crate) fn descendants(root: u64) -> Vec<Process> {
    let mut children: HashMap<u64, Vec<Process>> = HashMap::new();
    for pid in pids() {
        if let Some((parent, _, started)) = stat(pid) {
            children.entry(parent).or_default().push(Process {
                pid,
                started,
                command: command(pid),
            });
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(pid) = open.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// The processes whose command line or environment names a text.
pub(crate) fn naming(text: &str) -> Vec<String> {
    let own = u64::from(std::process::id());
    let mut found = Vec::new();
    for pid in pids().into_iter().filter(|pid| *pid != own && is_alive(*pid)) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let command = command(pid);
        if command.contains(text) || String::from_utf8_lossy(&environment).contains(text) {
            found.push(format!("{pid} {command}"));
        }
    }
    found
}
