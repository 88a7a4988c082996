//! What the local cloud needs from this machine, made ready at the first start.
//!
//! Python and Node.js must be there; everything of Python's that is not, is installed into a virtual
//! environment of the local cloud's own under the target directory. Nothing outside of it is touched.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The pinned requirements, part of this program so that it works from any directory.
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// The oldest Python that the pinned versions run on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);
/// The first Python that they do not run on.
const PYTHON_LIMIT: (u32, u32) = (3, 15);
/// The oldest Node.js that the sample application runs on.
const OLDEST_NODE: u32 = 20;
/// Lines of pip's output that an error shows.
const TAIL: usize = 12;

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The virtual environment's Python.
    pub python: PathBuf,
    /// Node.js.
    pub node: PathBuf,
    /// npm.
    pub npm: PathBuf,
    /// The virtual environment.
    pub venv: PathBuf,
    /// AWS's service models, as botocore ships them.
    pub botocore_data: PathBuf,
    /// The AWS CLI.
    pub aws: PathBuf,
}

/// Why the machine is not ready. Each says how to mend it.
#[derive(Debug, Error)]
pub enum ToolError {
    /// Programs that must be installed; all of them at once.
    #[error("{}", missing(.0))]
    Missing(Vec<String>),
    /// The virtual environment could not be made.
    #[error("cannot make the virtual environment {}: {why}", venv.display())]
    Venv {
        /// Where.
        venv: PathBuf,
        /// What Python said.
        why: String,
    },
    /// pip failed.
    #[error(
        "pip could not install what the local cloud needs (is the network, or PIP_INDEX_URL, set up?). Its last \
         lines:\n{tail}\nStart again once that is mended: what was downloaded is kept."
    )]
    Pip {
        /// pip's last lines.
        tail: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes everything ready; quick when it was before. Of several processes that start at once, one
/// installs and the others wait.
///
/// # Errors
/// What is missing, all at once, before anything is installed; or what went wrong in installing.
pub async fn ensure(target_dir: &Path, progress: &dyn Fn(&str)) -> Result<Tools, ToolError> {
    let mut missing = Vec::new();
    let python = find_python(&mut missing).await;
    let node = find_node(&mut missing).await;
    let npm = find_npm(&mut missing).await;
    let (Some(python), Some(node), Some(npm)) = (python, node, npm) else {
        return Err(ToolError::Missing(missing));
    };

    let home = target_dir.join("signalbox");
    let venv = home.join("venv");
    fs::create_dir_all(&home).map_err(|source| ToolError::File {
        path: home.clone(),
        source,
    })?;
    let stamp = stamp(&python);
    if !is_ready(&venv, &stamp) {
        let _lock = lock(&home.join("venv.lock"), progress).await?;
        // Another process may have finished while this one waited.
        if !is_ready(&venv, &stamp) {
            install(&python, &home, &venv, progress).await?;
            let path = stamp_path(&venv);
            fs::write(&path, &stamp).map_err(|source| ToolError::File { path, source })?;
        }
    }
    let botocore_data = botocore_data(&venv).ok_or_else(|| ToolError::Venv {
        venv: venv.clone(),
        why: "botocore's data directory is not in it; remove the directory and start again".to_owned(),
    })?;
    Ok(Tools {
        python: venv.join("bin/python"),
        node,
        npm,
        aws: venv.join("bin/aws"),
        venv,
        botocore_data,
    })
}

/// One line where one thing is missing, a list where several are.
fn missing(lines: &[String]) -> String {
    match lines {
        [only] => only.clone(),
        all => format!(
            "something is missing on this machine:\n  - {}",
            all.join("\n  - ")
        ),
    }
}

/// How long a program may take to say its version; a version manager's stand-in may wait for the network.
const TO_ANSWER: Duration = Duration::from_secs(20);

/// Answers of a program that was asked its version.
async fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let out = tokio::time::timeout(TO_ANSWER, output)
        .await
        .ok()?
        .ok()
        .filter(|out| out.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// A program on the `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

#[derive(Debug)]
struct Python {
    path: PathBuf,
    version: String,
}

async fn find_python(missing: &mut Vec<String>) -> Option<Python> {
    const QUESTION: &str = "import sys\n\
        try:\n import venv, ensurepip\n has = 'yes'\n\
        except ImportError:\n has = 'no'\n\
        print(sys.version_info[0], sys.version_info[1], sys.version_info[2], has)";
    let names = [
        "python3",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
        "python",
    ];
    let mut seen = None;
    for path in names.iter().filter_map(|name| on_path(name)) {
        let Some(answer) = ask(&path, &["-c", QUESTION]).await else {
            continue;
        };
        let mut words = answer.split_whitespace();
        let mut next = || words.next().and_then(|word| word.parse::<u32>().ok());
        let (Some(major), Some(minor), Some(patch)) = (next(), next(), next()) else {
            continue;
        };
        let version = format!("{major}.{minor}.{patch}");
        if (major, minor) < OLDEST_PYTHON || (major, minor) >= PYTHON_LIMIT {
            seen.get_or_insert(format!(
                "Python {version} at {} is not one the local cloud runs on: install Python {}.{} to {}.{}",
                path.display(),
                OLDEST_PYTHON.0,
                OLDEST_PYTHON.1,
                PYTHON_LIMIT.0,
                PYTHON_LIMIT.1 - 1
            ));
        } else if words.next() == Some("yes") {
            return Some(Python { path, version });
        } else {
            seen.get_or_insert(format!(
                "Python {version} has no `venv` module: install it (Debian, Ubuntu: `sudo apt install python3-venv`)"
            ));
        }
    }
    missing.push(seen.unwrap_or_else(|| {
        format!(
            "Python is not on the PATH: install Python {}.{} or newer (https://www.python.org/downloads/)",
            OLDEST_PYTHON.0, OLDEST_PYTHON.1
        )
    }));
    None
}

async fn find_node(missing: &mut Vec<String>) -> Option<PathBuf> {
    let fix = format!("install Node.js {OLDEST_NODE} or newer (https://nodejs.org/, or `nvm install --lts`)");
    let Some(path) = on_path("node") else {
        missing.push(format!("Node.js is not on the PATH: {fix}"));
        return None;
    };
    let version = ask(&path, &["--version"]).await;
    let wrong = match version.as_deref().map(|version| (version, node_major(version))) {
        Some((_, Some(major))) if major >= OLDEST_NODE => return Some(path),
        Some((version, Some(_))) => format!("is {version}, which is too old"),
        Some((_, None)) | None => "does not say its version".to_owned(),
    };
    missing.push(format!("Node.js at {} {wrong}: {fix}", path.display()));
    None
}

fn node_major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

async fn find_npm(missing: &mut Vec<String>) -> Option<PathBuf> {
    let found = on_path("npm");
    if found.is_none() {
        missing.push(
            "npm is not on the PATH: it comes with Node.js (Debian, Ubuntu: `sudo apt install npm`)"
                .to_owned(),
        );
    }
    found
}

fn stamp_path(venv: &Path) -> PathBuf {
    venv.join(".signalbox-stamp")
}

/// Changes with the requirements and with the Python that they were installed for.
fn stamp(python: &Python) -> String {
    let digest = Sha256::digest(format!("{}\n{REQUIREMENTS}", python.version));
    hex::encode(digest)
}

fn is_ready(venv: &Path, stamp: &str) -> bool {
    fs::read_to_string(stamp_path(venv)).is_ok_and(|found| found == stamp)
}

/// Held until it is dropped, and let go by the system when the process dies. Asked for again and again rather than
/// waited for in the kernel, which no Ctrl-C would end.
async fn lock(path: &Path, progress: &dyn Fn(&str)) -> Result<File, ToolError> {
    let failed = |source| ToolError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(failed)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if told => {}
            Err(TryLockError::WouldBlock) => {
                progress("another start is making the virtual environment; waiting for it");
                told = true;
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn install(
    python: &Python,
    home: &Path,
    venv: &Path,
    progress: &dyn Fn(&str),
) -> Result<(), ToolError> {
    if venv.exists() {
        fs::remove_dir_all(venv).map_err(|source| ToolError::File {
            path: venv.to_owned(),
            source,
        })?;
    }
    progress("making a virtual environment");
    let made = Command::new(&python.path)
        .args(["-m", "venv"])
        .arg(venv)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let failed = |why: String| ToolError::Venv {
        venv: venv.to_owned(),
        why,
    };
    let made = made.map_err(|error| failed(error.to_string()))?;
    if !made.status.success() {
        let said = [made.stdout, made.stderr].concat();
        return Err(failed(format!(
            "{} (Debian, Ubuntu: `sudo apt install python3-venv`)",
            String::from_utf8_lossy(&said).trim()
        )));
    }
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|source| ToolError::File {
        path: requirements.clone(),
        source,
    })?;
    pip(venv, &requirements, progress).await
}

async fn pip(venv: &Path, requirements: &Path, progress: &dyn Fn(&str)) -> Result<(), ToolError> {
    let broken = |error: std::io::Error| ToolError::Pip {
        tail: error.to_string(),
    };
    let mut child = Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
            "-r",
        ])
        .arg(requirements)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(ToolError::Pip {
            tail: "pip's output could not be read".to_owned(),
        });
    };
    let (mut out, mut err) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
    let (mut out_open, mut err_open) = (true, true);
    let mut tail: Vec<String> = Vec::new();
    while out_open || err_open {
        let line = tokio::select! {
            line = out.next_line(), if out_open => { out_open = matches!(line, Ok(Some(_))); line },
            line = err.next_line(), if err_open => { err_open = matches!(line, Ok(Some(_))); line },
        };
        let Ok(Some(line)) = line else { continue };
        if let Some(step) = pip_step(&line) {
            progress(&step);
        }
        tail.push(line);
        if tail.len() > TAIL {
            tail.remove(0);
        }
    }
    let status = child.wait().await.map_err(broken)?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    for line in &tail {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    Err(ToolError::Pip {
        tail: text.trim_end().to_owned(),
    })
}

/// What of pip's lines a person wants to see.
fn pip_step(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("Collecting ") {
        return Some(format!("fetching {}", rest.split_whitespace().next()?));
    }
    line.starts_with("Installing collected packages")
        .then(|| "installing".to_owned())
}

/// `lib/python3.x/site-packages/botocore/data` of a virtual environment.
fn botocore_data(venv: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(venv.join("lib")).ok()?;
    folders
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages/botocore/data"))
        .find(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_compared_by_their_major_number() {
        assert_eq!(node_major("v22.11.0"), Some(22));
        assert_eq!(node_major("v9.0.0"), Some(9));
        assert_eq!(node_major(""), None);
    }

    #[test]
    fn every_requirement_is_pinned() {
        let lines = REQUIREMENTS
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            assert!(line.contains("=="), "{line} is not pinned");
        }
    }

    #[test]
    fn an_environment_is_ready_only_for_the_requirements_and_the_python_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let old = stamp(&Python {
            path: PathBuf::new(),
            version: "3.11.2".to_owned(),
        });
        let new = stamp(&Python {
            path: PathBuf::new(),
            version: "3.12.0".to_owned(),
        });
        assert!(!is_ready(folder.path(), &old));
        fs::write(stamp_path(folder.path()), &old).unwrap();
        assert!(is_ready(folder.path(), &old));
        assert!(!is_ready(folder.path(), &new));
    }

    #[test]
    fn only_pips_steps_are_shown() {
        assert_eq!(
            pip_step("Collecting moto[server]==5.2.5"),
            Some("fetching moto[server]==5.2.5".to_owned())
        );
        assert_eq!(pip_step("  Using cached moto-5.2.5-py3-none-any.whl"), None);
    }
}
