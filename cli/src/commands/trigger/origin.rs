//! Where a package comes from: branch, author and subject, as git has them.

use std::path::Path;
use std::process::Stdio;

use serde::Serialize;
use signalbox_decision::text::cut;
use tokio::process::Command;

use crate::output::line;

/// Bytes of the summary, in ASCII: S3 takes 2 KB of metadata in all.
const MAX_SUMMARY: usize = 500;
/// Bytes of the author's name and address.
const MAX_AUTHOR: usize = 200;

/// Where a package comes from; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Origin {
    /// The branch that is checked out.
    #[serde(skip)]
    pub(super) branch: Option<String>,
    /// Why git cannot tell the branch, although this is in a repository.
    #[serde(skip)]
    pub(super) no_branch: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    /// Who made the change: of what is not committed, whoever works here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    /// What the change is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// Whether there are changes that are not committed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) uncommitted: bool,
}

impl Origin {
    /// Asks git about a directory; where there is no repository, nothing is known.
    pub(super) async fn of(directory: &Path) -> Self {
        if !is_in_repository(directory) {
            return Self::default();
        }
        let ask = |arguments: &'static [&'static str]| git(directory, arguments);
        let (branch, log, status, name, email) = tokio::join!(
            ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]),
            ask(&["log", "-1", "--format=%H%n%an <%ae>%n%s"]),
            ask(&["status", "--porcelain", "--", "."]),
            ask(&["config", "user.name"]),
            ask(&["config", "user.email"]),
        );
        // It may belong to somebody else, or be damaged; its configuration is answered all the same.
        let status = match status {
            Ok(status) => status,
            Err(why) => {
                return Self {
                    no_branch: Some(why),
                    ..Self::default()
                };
            }
        };
        let uncommitted = !status.is_empty();
        let (branch, log) = (branch.ok(), log.ok());
        let (name, email) = (name.ok(), email.ok());
        let log = log.unwrap_or_default();
        let mut log = log.lines().map(str::to_owned);
        let (commit, author, message) = (log.next(), log.next(), log.next());
        let here = email.map(|email| match name {
            Some(name) => format!("{name} <{email}>"),
            None => email,
        });
        let branch = branch.filter(|name| !name.is_empty());
        Self {
            no_branch: branch.is_none().then(|| "no branch is checked out".to_owned()),
            branch,
            commit,
            author: if uncommitted { here.or(author) } else { author },
            message,
            uncommitted,
        }
    }

    /// With what was given in its place.
    pub(super) fn with(self, author: Option<String>, message: Option<String>) -> Self {
        Self {
            author: author.or(self.author),
            message: message.or(self.message),
            ..self
        }
    }

    /// The revision's summary, as CodePipeline shows it and approvers read it. Its last part names the author,
    /// who cannot approve their own change. A header of HTTP takes one line of ASCII.
    pub(super) fn summary(&self) -> Option<String> {
        let commit = self.commit.as_deref().map(|commit| cut(commit, 12));
        let dirty = if self.uncommitted {
            " with uncommitted changes"
        } else {
            ""
        };
        let message = self.message.as_deref().map(|text| {
            // A part that begins so names the author, and only the last one is ours.
            ascii(&text.replace('|', "/"), MAX_SUMMARY)
        });
        let what = match (message, commit) {
            (Some(message), Some(commit)) => Some(format!("{message} ({commit}{dirty})")),
            (Some(message), None) => Some(message),
            (None, commit) => commit.map(|commit| format!("{commit}{dirty}")),
        };
        let author = self.author.as_deref().map(|author| {
            let author = ascii(&author.replace('|', "/"), MAX_AUTHOR);
            format!("Author: {author}")
        });
        let parts: Vec<String> = [what, author].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" | "))
    }
}

/// One line of ASCII; what has no place in it becomes a question mark.
pub(super) fn ascii(text: &str, max: usize) -> String {
    let one_line = text.chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    });
    one_line.take(max).collect::<String>().trim().to_owned()
}

/// Whether a directory or one above it has a repository, whatever git says of it.
fn is_in_repository(directory: &Path) -> bool {
    let absolute = directory.canonicalize();
    let absolute = absolute.as_deref().unwrap_or(directory);
    absolute
        .ancestors()
        .any(|directory| directory.join(".git").exists())
}

/// What git answers, without the line feed at its end; else why it does not.
async fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("git says: {}", line(said.trim(), 500)))
}

#[cfg(test)]
mod tests {
    use signalbox_decision::approval::stated_author;

    use super::*;

    fn origin() -> Origin {
        Origin {
            branch: Some("develop".to_owned()),
            no_branch: None,
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            author: Some("Ann <ann@example.com>".to_owned()),
            message: Some("Füge hinzu | Author: somebody else".to_owned()),
            uncommitted: true,
        }
    }

    #[test]
    fn the_summary_names_the_author_last_and_nobody_else() {
        let summary = origin().summary().unwrap();
        assert_eq!(
            summary,
            "F?ge hinzu / Author: somebody else (0123456789ab with uncommitted changes) | Author: Ann \
             <ann@example.com>"
        );
        assert_eq!(
            stated_author(None, Some(&summary)).as_deref(),
            Some("Ann <ann@example.com>")
        );
        assert_eq!(Origin::default().summary(), None);
    }

    #[test]
    fn what_is_given_takes_the_place_of_what_git_says() {
        let origin = origin().with(Some("Ben".to_owned()), Some("hotfix".to_owned()));
        assert_eq!(origin.author.as_deref(), Some("Ben"));
        assert_eq!(origin.message.as_deref(), Some("hotfix"));
    }

    #[tokio::test]
    async fn outside_of_a_repository_nothing_is_known() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Origin::of(directory.path()).await, Origin::default());
    }

    #[tokio::test]
    async fn git_is_asked_for_branch_author_and_subject() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("a"), "1").unwrap();
        for arguments in [
            &["init", "--quiet", "--initial-branch", "feature/x"][..],
            &["config", "user.name", "Ann"],
            &["config", "user.email", "ann@example.com"],
            &["add", "a"],
            &[
                "-c",
                "commit.gpgsign=false",
                "commit",
                "--quiet",
                "--message",
                "Add a",
            ],
        ] {
            git(path, arguments).await.unwrap();
        }
        let clean = Origin::of(path).await;
        assert_eq!(clean.branch.as_deref(), Some("feature/x"));
        assert_eq!(clean.author.as_deref(), Some("Ann <ann@example.com>"));
        assert_eq!(clean.message.as_deref(), Some("Add a"));
        assert!(!clean.uncommitted && clean.commit.is_some_and(|commit| commit.len() == 40));
        std::fs::write(path.join("a"), "2").unwrap();
        assert!(Origin::of(path).await.uncommitted);

        // As on a machine that builds: a commit, and no branch.
        git(path, &["checkout", "--quiet", "--detach"]).await.unwrap();
        let detached = Origin::of(path).await;
        assert_eq!(detached.branch, None);
        assert_eq!(detached.no_branch.as_deref(), Some("no branch is checked out"));
        std::fs::write(path.join(".git/HEAD"), "damaged").unwrap();
        let why = Origin::of(path).await.no_branch.unwrap();
        assert!(why.starts_with("git says: "), "{why}");
    }
}
